package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// stepTimeout is how long one step of a visitor may take.
const stepTimeout = 20 * time.Second

// startBrowser runs a headless Chromium with a profile of its own and returns
// the context that its windows are opened under.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path, err := chromiumPath()
	if err != nil {
		t.Fatal(err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless,
		chromedp.NoSandbox, // tests run as root in containers, where it cannot work
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		// Shared memory is small in containers.
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WindowSize(1280, 800),
		chromedp.WSURLReadTimeout(time.Minute),
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	browser, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		// Cancel waits for the browser to end, which must be before its profile
		// is deleted.
		if err := chromedp.Cancel(browser); err != nil {
			t.Errorf("close browser: %v", err)
		}
		cancel()
		stop()
	})
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return browser
}

func chromiumPath() (string, error) {
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no browser to test with: run `apt-get install -y chromium`, or name one in $CHROMIUM")
}

// visitor is a person with a browser window and cookies of their own.
type visitor struct {
	t    *testing.T
	name string
	site string
	ctx  context.Context
}

// newVisitor opens a window at the site.
func newVisitor(t *testing.T, browser context.Context, site, name string) *visitor {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	v := &visitor{t: t, name: name, site: site, ctx: ctx}
	err := chromedp.Listen(ctx, func(event any) {
		if thrown, ok := event.(*runtime.EventExceptionThrown); ok {
			t.Errorf("a script of %s's page failed: %s", name, describe(thrown.ExceptionDetails))
		}
	})
	if err != nil {
		t.Fatalf("%s opens a window: %v", name, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s saw: %s", name, v.screenshot("failed"))
		}
	})
	return v
}

// do takes steps, which together have stepTimeout.
func (v *visitor) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, stepTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		v.t.Fatalf("%s %s: %v", v.name, what, err)
	}
}

// reads is the value of a JavaScript expression on the page.
func reads[T any](v *visitor, what, expression string) T {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, stepTimeout)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		v.t.Fatalf("%s %s: %v", v.name, what, err)
	}
	return value
}

// sees waits until the JavaScript expression is true on the page.
func (v *visitor) sees(what, expression string) {
	v.t.Helper()
	v.do("waits to see "+what, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(50*time.Millisecond)))
}

// signUp makes an account, which also logs in.
func (v *visitor) signUp(password, firstName string) {
	v.t.Helper()
	v.do("signs up",
		chromedp.Navigate(v.site+"/signup/"),
		chromedp.SendKeys("#username", v.name),
		chromedp.SendKeys("#password", password),
		chromedp.SendKeys("#first_name", firstName),
		chromedp.Click(".primary"),
		chromedp.WaitVisible("#new-session"),
	)
}

// logIn comes to the chat page, and by its redirect to the log-in.
func (v *visitor) logIn(password string) {
	v.t.Helper()
	v.do("logs in",
		chromedp.Navigate(v.site+"/"),
		chromedp.WaitVisible("#password"),
		chromedp.SendKeys("#username", v.name),
		chromedp.SendKeys("#password", password),
		chromedp.Click(".primary"),
		chromedp.WaitVisible("#new-session"),
	)
}

// openSession opens a new session and returns its code.
func (v *visitor) openSession() string {
	v.t.Helper()
	v.do("opens a session", chromedp.Click("#new-session"), chromedp.WaitVisible("#uri"))
	v.seesPerson(v.name)
	return reads[string](v, "reads the code", `document.getElementById('uri').textContent`)
}

// joinSession joins a session by its code.
func (v *visitor) joinSession(uri string) {
	v.t.Helper()
	v.do("joins by the code", chromedp.SendKeys("#join-uri", uri+"\r"), chromedp.WaitVisible("#message"))
	v.seesPerson(v.name)
}

// createRoom makes a room by the API, with the page's own log-in.
func (v *visitor) createRoom(title string) {
	v.t.Helper()
	status := reads[int](v, "makes room "+title, fmt.Sprintf(`fetch('/api/admin/rooms/', {
		method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({title: %q}),
	}).then(r => r.status)`, title))
	if status != http.StatusCreated {
		v.t.Fatalf("%s makes room %s: got status %d, want 201", v.name, title, status)
	}
	v.do("reloads", chromedp.Reload(), chromedp.WaitVisible("#new-session"))
}

// openRoom opens a listed room by its title, and waits until it is joined.
func (v *visitor) openRoom(title string) {
	v.t.Helper()
	v.do("opens room "+title, chromedp.Click(fmt.Sprintf(`//ul[@id="rooms"]//a[contains(., %q)]`, title)))
	v.seesPerson(v.name)
}

// say sends a message to the open conversation.
func (v *visitor) say(text string) {
	v.t.Helper()
	v.do("says "+text, chromedp.SendKeys("#message", text), chromedp.Func(pressEnter))
}

// hears waits for a message that the server has acknowledged.
func (v *visitor) hears(text string) {
	v.t.Helper()
	v.sees("message "+text, fmt.Sprintf(
		`[...document.querySelectorAll('.message:not(.pending):not(.failed) .text')].filter(e => e.textContent === %q).length === 1`, text))
}

// seesNotice waits for a system line.
func (v *visitor) seesNotice(text string) {
	v.t.Helper()
	v.sees("notice "+text, fmt.Sprintf(`[...document.querySelectorAll('.notice')].some(e => e.textContent === %q)`, text))
}

// seesPerson waits until someone is here by the list of people.
func (v *visitor) seesPerson(name string) { v.t.Helper(); v.seesPresence(name, true) }

// seesAway waits until someone has left by the list of people.
func (v *visitor) seesAway(name string) { v.t.Helper(); v.seesPresence(name, false) }

func (v *visitor) seesPresence(name string, isHere bool) {
	v.t.Helper()
	v.sees(fmt.Sprintf("%s here: %v", name, isHere), fmt.Sprintf(
		`[...document.querySelectorAll('#people-list li')].some(e => e.querySelector('.name').dataset.username === %q && !e.classList.contains('left') === %v)`, name, isHere))
}

// screenshot writes what the window shows to a file and returns its path. The
// files are kept in $SCREENSHOTS, where that is set, for a person to look at.
func (v *visitor) screenshot(name string) string {
	v.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		dir = os.TempDir()
	}
	path := filepath.Join(dir, fmt.Sprintf("chat-%s-%s.png", v.name, name))
	ctx, cancel := context.WithTimeout(v.ctx, stepTimeout)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return "no screenshot: " + err.Error()
	}
	if err := os.WriteFile(path, png, 0o600); err != nil {
		return "no screenshot: " + err.Error()
	}
	return path
}

// pressEnter is one key event, as a keyboard makes it: a page that prevents its
// default gets no line break. (The "\r" of SendKeys is two independent events.)
func pressEnter(ctx context.Context, _ *chromedp.Target) error {
	_, err := chromedp.Call(ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{
		Type: "keyDown", Key: "Enter", Code: "Enter", Text: "\r", WindowsVirtualKeyCode: 13,
	})
	return err
}

func describe(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Exception.Description
	}
	return d.Text
}
