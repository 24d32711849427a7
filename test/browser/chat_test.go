package browser_test

import (
	"testing"

	"github.com/chromedp/chromedp"
)

const password = "correct horse battery"

// TestTwoPeopleChatInASession runs on any site, also on that of a cluster.
func TestTwoPeopleChatInASession(t *testing.T) {
	site, word := someServer(t)
	browser := startBrowser(t)
	amir := newVisitor(t, browser, site, "amir"+word)
	bea := newVisitor(t, browser, site, "bea"+word)
	amir.signUp(password, "Amir")
	bea.signUp(password, "Bea")

	uri := amir.openSession()
	amir.say("anyone here?")
	amir.hears("anyone here?")

	bea.joinSession(uri)
	amir.seesNotice(bea.name + " joined")
	amir.seesPerson(bea.name)
	bea.hears("anyone here?") // from the history

	bea.say("<b>me</b> & you")
	bea.hears("<b>me</b> & you")
	amir.hears("<b>me</b> & you")
	amir.say("good")
	amir.hears("good")
	bea.hears("good")

	amir.do("reloads", chromedp.Reload(), chromedp.WaitVisible("#message"))
	for _, text := range []string{"anyone here?", "<b>me</b> & you", "good"} {
		amir.hears(text)
	}
	amir.seesPerson(amir.name)
	amir.say("still here")
	bea.hears("still here")
}

func TestPeopleMeetInARoom(t *testing.T) {
	site := startServer(t)
	browser := startBrowser(t)
	admin := newVisitor(t, browser, site, adminName)
	admin.logIn(adminPassword)
	admin.createRoom("Lounge")
	bea := newVisitor(t, browser, site, "bea")
	bea.signUp(password, "Bea")

	admin.openRoom("Lounge")
	bea.openRoom("Lounge")
	admin.seesNotice("bea joined")
	admin.seesPerson("bea")
	bea.seesPerson(adminName)

	admin.say("welcome")
	bea.hears("welcome")
	bea.say("thanks")
	admin.hears("thanks")

	bea.do("closes the room", chromedp.Click("#leave"), chromedp.WaitVisible("#welcome"))
	admin.seesNotice("bea left")
	admin.seesAway("bea")

	bea.do("logs out", chromedp.Click(`.account button`), chromedp.WaitVisible("#password"))
	bea.do("goes back to the chat", chromedp.Navigate(site+"/"), chromedp.WaitVisible("#password"))
}

func TestReconnectMissesNothing(t *testing.T) {
	site := startServer(t)
	browser := startBrowser(t)
	line := newLine(t, site)
	amir := newVisitor(t, browser, line.site(), "amir")
	bea := newVisitor(t, browser, site, "bea")
	amir.signUp(password, "Amir")
	bea.signUp(password, "Bea")
	bea.joinSession(amir.openSession())
	bea.say("before")
	amir.hears("before")

	line.cut()
	amir.sees("that the connection is lost", `document.getElementById('status').textContent.startsWith('Connection lost')`)
	bea.say("while amir is away")
	bea.hears("while amir is away")
	amir.say("while I am away")
	line.mend()

	amir.hears("while amir is away")
	amir.hears("while I am away")
	bea.hears("while I am away")
	amir.hears("before")
}
