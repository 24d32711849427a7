package browser_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// fakeSocket stands in for the browser's WebSocket: the scenarios below say
// what the server sends, and look at what the page has sent.
const fakeSocket = `
class FakeSocket {
	static OPEN = 1;
	constructor() { this.readyState = 0; sockets.push(this); }
	open() { this.readyState = 1; this.onopen(); }
	send(text) { sent.push(JSON.parse(text)); }
	close() { this.readyState = 3; }
	tell(frame) { this.onmessage({ data: JSON.stringify(frame) }); }
}
const sockets = [], sent = [], told = [];
const { Connection } = await import('/static/connection.js');
globalThis.WebSocket = FakeSocket;
Math.random = () => 0; // backoff and retries are as short as they get
const note = (name) => (...args) => told.push([name, ...args].map((a) => typeof a === 'object' ? a.id ?? a.error ?? a.recovered ?? a.name : a).join(' '));
const connection = new Connection('ws://server.test/', {
	onLoggedOut: note('logged out'),
	onStatus: () => {}, onUsers: () => {}, onNotice: note('notice'), onLost: note('lost'),
	onJoined: note('joined'), onMessage: note('message'), onSent: note('sent'), onError: note('error'),
});
const id = (n) => '00000001' + n.toString(16).padStart(12, '0') + '00000000';
const message = (n, prev) => ({ msg_type: 0, room: 7, username: 'bea', message: 'm' + n, id: id(n), prev: id(prev), time: '2026-01-02T03:04:05.000Z' });
const socket = async (n) => { while (sockets.length <= n) await new Promise((r) => setTimeout(r, 10)); return sockets[n]; };
const first = () => { connection.join('7'); sockets[0].open(); sockets[0].tell({ join: '7', title: 'Lobby', position: id(5) }); };
const last = () => { const c = sent.at(-1); return [c.command, c.after ? 'after ' + Number('0x' + c.after.slice(8, 20)) : '', c.key].filter(Boolean).join(' '); };
const short = () => told.map((t) => t.replace(/00000001([0-9a-f]{12})00000000/g, (_, n) => Number('0x' + n)));
`

func TestConnectionKeepsItsPlace(t *testing.T) {
	site := startServer(t)
	browser := startBrowser(t)
	tests := []struct {
		name string
		// script returns a string.
		script string
		want   string
	}{
		{
			name:   "a join asks for ids",
			script: `first(); return JSON.stringify(sent)`,
			want:   `[{"command":"join","room":7,"ids":true}]`,
		}, {
			name:   "a break resumes after the last message",
			script: `first(); sockets[0].tell(message(6, 5)); sockets[0].onclose({ code: 1006 }); (await socket(1)).open(); return last()`,
			want:   "join after 6",
		}, {
			name:   "a break of a silent room resumes from its position",
			script: `first(); sockets[0].onclose({ code: 1006 }); (await socket(1)).open(); return last()`,
			want:   "join after 5",
		}, {
			name: "an announced end is followed at the moment that the server chose, from the position that it told",
			script: `first(); sockets[0].tell({ reconnect: 300, after: { 7: id(8) } }); const begin = Date.now();
				sockets[0].tell(message(9, 8)); sockets[0].onclose({ code: 1012 }); (await socket(1)).open();
				const waited = Date.now() - begin; return last() + ', ' + short().at(-1) + ', ' + (waited >= 290 && waited < 3000)`,
			want: "join after 9, message 7 9, true",
		}, {
			name: "an announced end of a silent room resumes from the position that the server told",
			script: `first(); sockets[0].tell({ reconnect: 0, after: { 7: id(8) } });
				sockets[0].onclose({ code: 1012 }); (await socket(1)).open(); return last()`,
			want: "join after 8",
		}, {
			name: "a break before the missed messages have come asks for them again",
			script: `first(); sockets[0].onclose({ code: 1006 }); (await socket(1)).open();
				sockets[1].tell({ join: '7', title: 'Lobby', recovered: true, position: id(9) }); sockets[1].tell(message(6, 5));
				sockets[1].onclose({ code: 1006 }); (await socket(2)).open(); return last()`,
			want: "join after 6",
		}, {
			name: "what cannot be recovered goes on from the new position",
			script: `first(); sockets[0].onclose({ code: 1006 }); (await socket(1)).open();
				sockets[1].tell({ join: '7', title: 'Lobby', recovered: false, position: id(90) });
				sockets[1].onclose({ code: 1006 }); (await socket(2)).open(); return last() + ', ' + short().join(', ')`,
			want: "join after 90, joined 7 false, joined 7 false",
		}, {
			name: "a gap is not shown but asked for",
			script: `first(); sockets[0].tell(message(6, 5)); sockets[0].tell(message(8, 7));
				(await socket(1)).open(); return last() + ', ' + short().join(', ')`,
			want: "join after 6, joined 7 false, message 7 6",
		}, {
			name: "a promised position is no gap",
			script: `first(); sockets[0].onclose({ code: 1006 }); (await socket(1)).open();
				sockets[1].tell({ join: '7', title: 'Lobby', recovered: true, position: id(9) }); sockets[1].tell(message(10, 9)); return short().at(-1)`,
			want: "message 7 10",
		}, {
			name: "an unacknowledged message is sent again under its key",
			script: `first(); connection.send('7', 'k1', 'hi'); sockets[0].onclose({ code: 1006 }); (await socket(1)).open();
				sockets[1].tell({ join: '7', title: 'Lobby', recovered: true, position: id(5) });
				const again = last(); sockets[1].tell({ ack: id(6), room: 7 }); return again + ', ' + short().at(-1)`,
			want: "send k1, sent 7 k1 6",
		}, {
			name: "commands wait for the answer to the one before",
			script: `first(); connection.send('7', 'k1', 'hi'); connection.send('7', 'k2', 'ho'); const before = last();
				sockets[0].tell({ ack: id(6), room: 7 }); return before + ', ' + last()`,
			want: "send k1, send k2",
		}, {
			name: "what is refused for now is sent again before all else",
			script: `first(); connection.send('7', 'k1', 'hi'); connection.send('7', 'k2', 'ho');
				sockets[0].tell({ error: 'RATE_LIMITED', retry_after: 0.01 }); const count = sent.length;
				while (sent.length === count) await new Promise((r) => setTimeout(r, 10)); return last()`,
			want: "send k1",
		}, {
			name:   "what is refused for good is told",
			script: `first(); connection.send('7', 'k1', 'hi'); sockets[0].tell({ error: 'MESSAGE_INVALID' }); return told.length + ' ' + told[1].split(' ')[0]`,
			want:   "2 error",
		}, {
			name: "to be put out ends the conversation",
			script: `first(); sockets[0].tell({ error: 'ROOM_ACCESS_DENIED', room: 7 }); sockets[0].tell(message(6, 5));
				sockets[0].onclose({ code: 1006 }); await new Promise((r) => setTimeout(r, 300)); return short().at(-1) + ', ' + sockets.length`,
			want: "lost 7, 1",
		}, {
			name:   "a final close code is the end",
			script: `first(); sockets[0].onclose({ code: 4500 }); await new Promise((r) => setTimeout(r, 300)); return String(sockets.length)`,
			want:   "1",
		}, {
			name: "a message that is too large for the server is not repeated",
			script: `first(); connection.send('7', 'k1', 'hi'); sockets[0].onclose({ code: 1009 }); (await socket(1)).open();
				sockets[1].tell({ join: '7', title: 'Lobby', recovered: true, position: id(5) }); return short().join(', ') + ', ' + last()`,
			want: "joined 7 false, error send MESSAGE_INVALID, joined 7 true, join after 5",
		}, {
			name: "nothing is kept of a conversation that was left",
			script: `first(); connection.send('7', 'k1', 'hi'); connection.leave('7'); sockets[0].tell({ ack: id(6), room: 7 });
				return told.length + ' ' + last()`,
			want: "1 leave",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVisitor(t, browser, site, "tester")
			v.do("opens a page", chromedp.Navigate(site+"/login/"))
			got := reads[string](v, "runs the scenario", fmt.Sprintf("(async () => {%s\n%s})()", fakeSocket, tt.script))
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
