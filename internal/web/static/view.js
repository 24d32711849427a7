// Everything that touches the document. It holds no state of its own beyond
// what is on the screen. All text is set as text, never as HTML.

const $ = (id) => document.getElementById(id);

const HUES = 8; // the classes hue-0 … of chat.css

function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

function avatar(name, into = element('span', 'avatar')) {
  let hash = 0;
  for (const c of name) hash = (hash * 31 + c.codePointAt(0)) >>> 0;
  into.classList.add(`hue-${hash % HUES}`);
  into.textContent = [...name][0]?.toUpperCase() ?? '?';
  into.setAttribute('aria-hidden', 'true');
  return into;
}

export function showMe(username) { avatar(username, $('my-avatar')); }

// showLists shows conversations, each {ref, kind, href, title, detail,
// staffOnly, unread}, and marks the open one.
export function showLists(rooms, sessions, openRef) {
  for (const [list, items] of [['rooms', rooms], ['sessions', sessions]]) {
    $(list).replaceChildren(...items.map((item) => listItem(item, item.ref === openRef)));
    $(`${list}-empty`).hidden = items.length > 0;
  }
}

function listItem(item, isOpen) {
  const link = element('a');
  link.href = item.href;
  if (isOpen) link.setAttribute('aria-current', 'page');
  const label = element('span', 'label', item.title);
  if (item.detail) label.append(element('small', '', item.detail));
  link.append(label);
  if (item.staffOnly) link.append(element('span', 'tag', 'staff'));
  if (item.unread > 0) {
    const badge = element('span', 'badge', item.unread > 99 ? '99+' : String(item.unread));
    badge.setAttribute('aria-label', `${item.unread} unread`);
    link.append(badge);
  }
  const li = element('li');
  li.append(link);
  return li;
}

// showConversation shows a conversation's frame, or the welcome for null.
export function showConversation(conversation) {
  const isOpen = conversation !== null;
  $('app').classList.toggle('open', isOpen);
  $('welcome').hidden = isOpen;
  for (const id of ['scroller', 'composer', 'leave', 'people-toggle']) $(id).hidden = !isOpen;
  showTitle(conversation?.title);
  $('code').hidden = !conversation?.uri;
  $('uri').textContent = conversation?.uri ?? '';
  $('messages').replaceChildren();
  $('older').hidden = $('jump').hidden = true;
  togglePeople($('people-toggle').getAttribute('aria-expanded') === 'true');
}

export function showTitle(title) {
  $('title').textContent = title ?? 'Welcome';
  document.title = title ? `${title} · ChatCluster` : 'ChatCluster';
}

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

function clock(date) {
  return date.toDateString() === new Date().toDateString() ? time.format(date) : dayAndTime.format(date);
}

// showTimeline brings the messages on the screen in line with the entries. What
// is there already stays, so that a screen reader tells only what is new.
export function showTimeline(entries, me, { older, loading }) {
  const list = $('messages');
  $('older').hidden = !older;
  const follow = isAtEnd();
  const heightBelow = $('scroller').scrollHeight - $('scroller').scrollTop;
  const known = new Map([...list.children].map((li) => [li.dataset.key, li]));
  const hadOldest = list.firstElementChild;
  const shown = entries.map((entry, i) => {
    const li = known.get(entry.key) ?? (entry.kind === 'notice' ? element('li', 'notice', entry.text) : messageItem(entry, me));
    li.dataset.key = entry.key;
    if (entry.kind === 'message') decorate(li, entry, entries[i - 1]);
    return li;
  });
  shown.forEach((li, i) => {
    if (list.children[i] !== li) list.insertBefore(li, list.children[i] ?? null);
  });
  while (list.children.length > shown.length) list.lastElementChild.remove();
  list.setAttribute('aria-busy', String(loading));
  if (follow) scrollToEnd();
  else if (list.firstElementChild !== hadOldest) $('scroller').scrollTop = $('scroller').scrollHeight - heightBelow;
  else if (shown.some((li) => !known.has(li.dataset.key))) $('jump').hidden = false;
}

function messageItem(entry, me) {
  const li = element('li', entry.username === me ? 'message own' : 'message');
  const meta = element('p', 'meta');
  meta.append(element('strong', '', entry.name ?? entry.username));
  if (entry.time) {
    const stamp = element('time', '', clock(entry.time));
    stamp.dateTime = entry.time.toISOString();
    meta.append(stamp);
  }
  li.append(avatar(entry.username), meta, element('p', 'text', entry.text));
  return li;
}

const GROUP = 5 * 60_000; // ms between messages that stand under one name

function decorate(li, entry, before) {
  const continues = before?.kind === 'message' && before.username === entry.username
    && entry.time && before.time && entry.time - before.time < GROUP;
  li.classList.toggle('first', !continues);
  li.classList.toggle('pending', entry.state === 'pending');
  li.classList.toggle('failed', entry.state === 'failed');
  li.querySelector('.note')?.remove();
  if (entry.state === 'pending') li.append(element('p', 'note', 'Sending…'));
  if (entry.state === 'failed') li.append(element('p', 'note', `Not sent: ${entry.reason}`));
}

function isAtEnd() {
  const s = $('scroller');
  return s.scrollHeight - s.scrollTop - s.clientHeight < 80;
}

export function scrollToEnd() {
  $('scroller').scrollTop = $('scroller').scrollHeight;
  $('jump').hidden = true;
}

// showPeople lists people, each {username, name, here}.
export function showPeople(people) {
  $('people-count').textContent = people.length > 0 ? `${people.filter((p) => p.here).length}` : '';
  $('people-list').replaceChildren(...people.map((p) => {
    const li = element('li', p.here ? '' : 'left');
    const name = element('span', 'name', p.name);
    name.dataset.username = p.username;
    const dot = element('span', 'dot');
    dot.setAttribute('role', 'img');
    dot.setAttribute('aria-label', p.here ? 'here' : 'away');
    li.append(avatar(p.username), name, dot);
    return li;
  }));
}

// showStatus tells how the connection is, showAlert what has gone wrong.
export function showStatus(text) { $('status').textContent = text; }
export function showAlert(text) { $('alert').textContent = text; }
export function showJoinError(text) {
  $('join-error').textContent = text;
  if (text) $('join-uri').setAttribute('aria-invalid', 'true');
  else $('join-uri').removeAttribute('aria-invalid');
}
export function focusMessage() { $('message').focus(); }
export function clearJoin() { $('join-uri').value = ''; }

// Where there is room, people are shown from the start; elsewhere they would
// cover the messages.
const hasRoomForPeople = matchMedia('(min-width: 60rem)');

function togglePeople(isOpen) {
  $('people').hidden = !isOpen || $('people-toggle').hidden;
  $('people-toggle').setAttribute('aria-expanded', String(isOpen));
}

async function copyCode() {
  const button = $('copy');
  try {
    await navigator.clipboard.writeText($('uri').textContent);
    button.textContent = 'Copied';
  } catch {
    // No clipboard without TLS: select the code, for the visitor to copy.
    getSelection().selectAllChildren($('uri'));
    button.textContent = 'Press Ctrl+C';
  }
  setTimeout(() => { button.textContent = 'Copy code'; }, 2000);
}

// listen calls the handlers for what the visitor does: onNewSession(),
// onJoin(uri), onSend(text), onOlder(), onLeave(), onBack().
export function listen(handlers) {
  $('new-session').addEventListener('click', () => handlers.onNewSession());
  $('older').addEventListener('click', () => handlers.onOlder());
  $('leave').addEventListener('click', () => handlers.onLeave());
  $('back').addEventListener('click', () => handlers.onBack());
  $('jump').addEventListener('click', scrollToEnd);
  $('copy').addEventListener('click', copyCode);
  $('people-toggle').addEventListener('click', () => togglePeople($('people').hidden));
  $('scroller').addEventListener('scroll', () => { if (isAtEnd()) $('jump').hidden = true; });
  $('join').addEventListener('submit', (event) => {
    event.preventDefault();
    handlers.onJoin($('join-uri').value.trim().toLowerCase());
  });
  const submit = () => {
    if (handlers.onSend($('message').value)) $('message').value = '';
  };
  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
    focusMessage();
  });
  $('message').addEventListener('keydown', (event) => {
    // Not while an input method composes a character: Enter then ends that.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && !hasRoomForPeople.matches) togglePeople(false);
  });
  hasRoomForPeople.addEventListener('change', () => togglePeople(hasRoomForPeople.matches));
  $('people-toggle').setAttribute('aria-expanded', String(hasRoomForPeople.matches));
}
