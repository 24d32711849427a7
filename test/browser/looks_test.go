package browser_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestPagesFitTheWindow finds pages that are wider than the window. It leaves
// screenshots in $SCREENSHOTS, where that is set, for a person to judge.
func TestPagesFitTheWindow(t *testing.T) {
	site := startServer(t)
	browser := startBrowser(t)
	amir := newVisitor(t, browser, site, "amir")
	amir.do("opens the sign-up page", chromedp.Navigate(site+"/signup/"), chromedp.WaitVisible("#username"))
	amir.fits("signup")
	amir.do("enters a bad name", chromedp.SendKeys("#username", "a b\r"), chromedp.WaitVisible("#username-errors"))
	amir.fits("signup-errors")
	amir.signUp(password, "Amir")
	amir.fits("empty")

	bea := newVisitor(t, browser, site, "bea")
	bea.signUp(password, "Bea")
	bea.joinSession(amir.openSession())
	for _, text := range []string{
		"Shall we meet tomorrow?",
		"I have written down what we should talk about. It is long enough to show how a text that does not fit into one line is broken into several.",
		"https://chat.example.com/" + strings.Repeat("0123456789", 12),
	} {
		bea.say(text)
		amir.hears(text)
		amir.say("Good")
		amir.sees("that all is sent", `!document.querySelector('.pending')`)
	}
	amir.fits("chat")
	amir.do("goes back to the list", chromedp.Evaluate[chromedp.Void](`location.hash = ''`), chromedp.WaitVisible("#new-session"))
	amir.fits("list")
}

// fits looks at the page in light and dark, wide and narrow.
func (v *visitor) fits(name string) {
	v.t.Helper()
	windows := []struct {
		name          string
		width, height int64
	}{
		{"desktop", 1280, 800},
		{"tablet", 820, 1000},
		{"phone", 390, 780},
	}
	for _, window := range windows {
		for _, scheme := range []string{"light", "dark"} {
			v.do("looks at "+name,
				chromedp.EmulateViewport(window.width, window.height),
				chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
					_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
						Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
					})
					return err
				}),
			)
			if over := reads[int](v, "measures "+name, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				v.t.Errorf("%s on a %s is %d pixels wider than the window", name, window.name, over)
			}
			if os.Getenv("SCREENSHOTS") != "" {
				v.screenshot(fmt.Sprintf("%s-%s-%s", name, window.name, scheme))
			}
		}
	}
	v.do("returns to the desktop", chromedp.EmulateViewport(windows[0].width, windows[0].height))
}
