// The chat page: what is open, what is joined, and how the parts meet.

import * as api from './api.js';
import * as view from './view.js';
import { Connection } from './connection.js';
import { Timeline } from './timeline.js';

const me = document.body.dataset.username;
const conversations = new Map(); // ref → conversation
let listed = { rooms: [], sessions: [] };
let open = null; // the conversation on the screen

// A conversation's ref is what its address in the page and on the socket is
// made of: a room's integer id, a session's URI.
function conversation(kind, ref) {
  let c = conversations.get(ref);
  if (!c) {
    c = { kind, ref, timeline: new Timeline(), older: null, task: null, stale: false, unread: 0, users: {}, notices: 0 };
    conversations.set(ref, c);
  }
  return c;
}

const href = (kind, ref) => `#${kind}/${ref}`;

function fromHash() {
  const match = /^#(?:room\/([1-9][0-9]{0,13})|session\/([0-9a-f]{15}))$/.exec(location.hash);
  if (!match) return null;
  return match[1] ? conversation('room', match[1]) : conversation('session', match[2]);
}

// Lists

async function refreshLists() {
  const [rooms, sessions] = await Promise.all([api.rooms(), api.sessions()]);
  listed = { rooms, sessions };
  showLists();
  if (open) {
    view.showTitle(titleOf(open));
    showPeople();
  }
}

function showLists() {
  const unread = (ref) => conversations.get(ref)?.unread ?? 0;
  view.showLists(
    listed.rooms.map((r) => ({
      ref: String(r.id), href: href('room', r.id), title: r.title, staffOnly: r.staff_only, unread: unread(String(r.id)),
    })),
    listed.sessions.map((s) => ({
      ref: s.uri, href: href('session', s.uri), title: sessionTitle(s), detail: s.uri, unread: unread(s.uri),
    })),
    open?.ref,
  );
}

function sessionTitle(session) {
  if (session.title) return session.title;
  const others = session.members.filter((m) => m.username !== me).map(displayName);
  return others.length > 0 ? others.join(', ') : 'Only you so far';
}

function titleOf(c) {
  if (c.kind === 'room') return listed.rooms.find((r) => String(r.id) === c.ref)?.title ?? c.title ?? 'Room';
  const session = listed.sessions.find((s) => s.uri === c.ref);
  return session ? sessionTitle(session) : c.title || 'Session';
}

// The open conversation

function show() {
  const c = fromHash();
  open = c;
  if (c) {
    view.showAlert('');
    c.unread = 0;
    connection.join(c.ref);
  }
  view.showConversation(c && { title: titleOf(c), uri: c.kind === 'session' ? c.ref : null });
  showLists();
  if (!c) return;
  showTimeline();
  view.scrollToEnd();
  showPeople();
  connection.users(c.ref);
  view.focusMessage();
}

function showTimeline() {
  view.showTimeline(open.timeline.entries, me, { older: open.older !== null && !open.task, loading: open.task !== null });
}

function showPeople() {
  const people = new Map(Object.values(open.users).map((u) => [u.username, { username: u.username, name: u.name, here: !u.left }]));
  const session = listed.sessions.find((s) => s.uri === open.ref);
  for (const member of session?.members ?? []) {
    const { username } = member;
    if (!people.has(username)) people.set(username, { username, name: displayName(member), here: false });
  }
  view.showPeople([...people.values()].sort((a, b) => b.here - a.here || a.name.localeCompare(b.name)));
}

// changed shows what has come to a conversation, or counts it.
function changed(c, isMessage) {
  if (c === open) showTimeline();
  else if (isMessage) {
    c.unread++;
    showLists();
  }
}

// load reads the newest page of a session, or the next older one. It takes the
// place of a load that is still running.
async function load(c, older) {
  const task = {};
  c.task = task;
  if (c === open) showTimeline();
  try {
    const page = await api.history(c.ref, older);
    if (c.task !== task) return;
    for (const m of page.messages) {
      c.timeline.add({ id: m.id, username: m.user.username, name: displayName(m.user), text: m.message, time: new Date(m.time) });
    }
    c.older = page.older;
    if (older === null) c.stale = false;
  } catch (error) {
    failed(error);
  } finally {
    if (c.task === task) {
      c.task = null;
      if (c === open) showTimeline();
    }
  }
}

const nameOf = (c, username) => Object.values(c.users).find((u) => u.username === username)?.name ?? username;
const displayName = (user) => `${user.first_name} ${user.last_name}`.trim() || user.username;

// The socket

let wasLost = false;

// checkLogin asks whether it is the log-in that has ended: a socket that is
// refused does not say why.
async function checkLogin() {
  try {
    await api.sessions();
  } catch (error) {
    if (error.status === 401) logIn();
  }
}

const connection = new Connection(`${location.origin.replace(/^http/, 'ws')}/chat/stream/`, {
  onStatus(state, delay) {
    if (state === 'idle') view.showStatus('');
    if (state === 'ended') {
      view.showStatus('The server has closed the connection. Reload the page to connect again.');
      checkLogin();
    }
    if (state === 'open') {
      view.showStatus('');
      // Others may have changed the lists in the meantime.
      if (wasLost) attempt(refreshLists);
      wasLost = false;
    }
    if (state === 'waiting') {
      wasLost = true;
      view.showStatus(delay > 2000 ? `Connection lost. Trying again in ${Math.round(delay / 1000)} s…` : 'Connection lost. Reconnecting…');
      checkLogin();
    }
  },

  onJoined(ref, { title, recovered }) {
    const c = conversations.get(ref);
    c.title = title;
    if (c === open) view.showTitle(titleOf(c));
    // What the socket could not make up for, history must. Whatever comes
    // live in the meantime is merged by id.
    if (c.kind === 'session' && !recovered) {
      c.timeline.reset();
      c.stale = true;
    }
    if (c.stale) load(c, null);
    connection.users(ref);
  },

  onMessage(ref, frame) {
    const c = conversations.get(ref);
    const isNew = c.timeline.add({
      id: frame.id, username: frame.username, name: nameOf(c, frame.username), text: frame.message, time: new Date(frame.time),
    });
    if (isNew) changed(c, frame.username !== me);
  },

  onNotice(ref, frame, entered) {
    const c = conversations.get(ref);
    c.timeline.notice(frame.id ?? `notice-${c.notices++}`, `${frame.username} ${entered ? 'joined' : 'left'}`, new Date());
    changed(c, false);
    connection.users(ref);
    // Someone new may have become a member of the session.
    if (entered && c.kind === 'session') attempt(refreshLists);
  },

  onUsers(ref, users) {
    const c = conversations.get(ref);
    c.users = users;
    if (c === open) showPeople();
  },

  onSent(ref, key, id) {
    const c = conversations.get(ref);
    c.timeline.settle(key, id);
    changed(c, false);
  },

  onLost(ref) {
    const c = conversations.get(ref);
    view.showAlert(`You are no longer in “${titleOf(c)}”.`);
    close(c);
    attempt(refreshLists);
  },

  onError(command, frame) {
    const c = conversations.get(command.ref);
    if (!c) return;
    if (command.name === 'send') {
      c.timeline.fail(command.key, explain(frame));
      changed(c, false);
    } else if (command.name === 'join') {
      view.showAlert(explain(frame));
      close(c);
    }
  },

  onLoggedOut: logIn,
});

const EXPLANATIONS = {
  ROOM_INVALID: 'There is no such conversation.',
  ROOM_ACCESS_DENIED: 'You may not enter this conversation. A session must be joined by its code first.',
};

const explain = (frame) => frame.detail ?? EXPLANATIONS[frame.error] ?? frame.error;

// close forgets a conversation that is no longer joined.
function close(c) {
  conversations.delete(c.ref);
  if (c === open) location.hash = '';
}

function logIn() { location.assign('/login/?next=/'); }

function failed(error) {
  if (!(error instanceof api.ApiError)) throw error;
  if (error.status === 401) logIn();
  else view.showAlert(error.message);
}

async function attempt(act) {
  try {
    await act();
  } catch (error) {
    failed(error);
  }
}

// The visitor

view.listen({
  onNewSession: () => attempt(async () => {
    const uri = await api.createSession();
    await refreshLists();
    location.hash = href('session', uri);
  }),

  async onJoin(uri) {
    if (!/^[0-9a-f]{15}$/.test(uri)) {
      view.showJoinError('A code has 15 characters: digits and the letters a to f.');
      return;
    }
    try {
      await api.joinSession(uri);
      await refreshLists();
      view.showJoinError('');
      view.clearJoin();
      location.hash = href('session', uri);
    } catch (error) {
      if (error.status === 404) view.showJoinError('There is no session with this code.');
      else if (error.status === 401 || !(error instanceof api.ApiError)) failed(error);
      else view.showJoinError(error.message);
    }
  },

  onSend(text) {
    if (!open || text.trim() === '') return false;
    const key = randomKey();
    open.timeline.pending(key, me, text);
    showTimeline();
    view.scrollToEnd();
    connection.send(open.ref, key, text);
    return true;
  },

  onOlder() { if (!open.task) load(open, open.older); },

  onLeave() {
    connection.leave(open.ref);
    close(open);
  },

  onBack() { location.hash = ''; },
});

// randomKey names a message of ours. (randomUUID needs TLS, this does not.)
function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');
}

addEventListener('hashchange', show);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') attempt(refreshLists);
});

view.showMe(me);
await attempt(refreshLists);
show();
