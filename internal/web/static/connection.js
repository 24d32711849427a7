// One WebSocket for all conversations of the page, which outlives its breaks:
// it reconnects, joins again from the last message it saw, and sends what was
// not acknowledged again under the same key.
//
// Commands go one at a time, each once the one before it is answered. So every
// answer, an error too, belongs to the command that is in flight; and a server
// that stays silent is noticed.

import { isAfter } from './timeline.js';

const ANSWER_TIMEOUT = 10_000; // ms
const KEEPALIVE = 25_000; // ms
const FIRST_DELAY = 500; // ms
const LONGEST_DELAY = 30_000; // ms
const LONGEST_ABSENCE = 3_600_000; // ms that a server can make us stay away

const MESSAGE = 0;
const ENTER = 4;
const LEAVE = 5;

// TOO_LARGE is the close code that answers a frame beyond the server's limit.
const TOO_LARGE = 1009;

// FINAL is the first of the close codes after which a client shall not return.
const FINAL = 4500;

// PASSING are the errors after which the same command may succeed.
const PASSING = new Set(['RATE_LIMITED', 'UNAVAILABLE']);

// backoff is how long to wait before try number `attempt`, in ms. It is spread
// over the whole range, so that those whom a server lost do not return at once.
export function backoff(attempt, random) {
  return Math.round((0.2 + 0.8 * random) * Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** attempt));
}

export class Connection {
  #url;
  #handlers;
  #socket = null;
  #attempt = 0;
  #retry = null;
  #queue = []; // commands not sent yet
  #inFlight = null; // the command that awaits its answer
  #deadline = null;
  // When the server wants us back, in ms since the epoch; null if it has not
  // announced that it will close this socket.
  #returnAt = null;
  // What is joined, or shall be: ref → {ref, id, position, promised}. Everything
  // up to the position has come, so that a resume starts there. Everything up to
  // the promised one is on its way on this socket, so that it is no gap.
  #rooms = new Map();

  // handlers: onStatus(state, delay), onJoined(ref, {title, recovered}),
  // onMessage(ref, frame), onNotice(ref, frame, entered), onUsers(ref, users),
  // onSent(ref, key, id), onLost(ref), onError(command, frame), onLoggedOut().
  // The state is connecting, open, waiting (for the next try, in `delay` ms),
  // idle (nothing is joined) or ended (the server wants no other try).
  constructor(url, handlers) {
    this.#url = url;
    this.#handlers = handlers;
    addEventListener('online', () => this.#connectNow());
    setInterval(() => this.#keepAlive(), KEEPALIVE);
  }

  // join enters a conversation, and again after each break.
  join(ref) {
    if (this.#rooms.has(ref)) return;
    this.#rooms.set(ref, { ref, id: null, position: null, promised: null });
    if (this.#isOpen()) this.#joinOnce(ref);
    else this.#connectNow();
  }

  // leave goes out of a conversation, and drops what was not sent to it.
  leave(ref) {
    const room = this.#rooms.get(ref);
    if (!room) return;
    this.#rooms.delete(ref);
    this.#queue = this.#queue.filter((c) => c.ref !== ref);
    if (room.id !== null) this.#enqueue({ name: 'leave', ref, id: room.id });
  }

  // send is tried until it is acknowledged or refused.
  send(ref, key, text) {
    this.#enqueue({ name: 'send', ref, key, text });
  }

  // users asks who is there; onUsers answers.
  users(ref) {
    if (!this.#queue.some((c) => c.name === 'room_users' && c.ref === ref)) this.#enqueue({ name: 'room_users', ref });
  }

  #isOpen() { return this.#socket?.readyState === WebSocket.OPEN; }

  #connectNow() {
    if (this.#socket || this.#rooms.size === 0) return;
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#handlers.onStatus('connecting');
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    // A server that accepts the connection and no more counts as silent.
    this.#deadline = setTimeout(() => this.#drop(socket), ANSWER_TIMEOUT);
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => this.#received(JSON.parse(event.data));
    socket.onclose = ({ code }) => {
      if (code >= FINAL) this.#rooms.clear();
      if (code === TOO_LARGE) this.#giveUp();
      this.#drop(socket);
      if (code >= FINAL) this.#handlers.onStatus('ended');
    };
  }

  #opened() {
    clearTimeout(this.#deadline);
    this.#handlers.onStatus('open');
    // Joins first: a message can only be sent to a room that is joined.
    const unsent = this.#queue.filter((c) => c.name === 'send');
    this.#queue = [];
    for (const room of this.#rooms.values()) this.#joinOnce(room.ref);
    this.#queue.push(...unsent);
    this.#next();
  }

  // drop gives a socket up at once; its own close may take minutes where the
  // network is gone.
  #drop(socket) {
    if (this.#socket !== socket) return;
    clearTimeout(this.#deadline);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.#socket = null;
    if (this.#inFlight?.name === 'send') this.#queue.unshift(this.#inFlight);
    this.#inFlight = null;
    if (this.#rooms.size === 0) {
      this.#handlers.onStatus('idle');
      return;
    }
    const delay = this.#pause();
    this.#handlers.onStatus('waiting', delay);
    this.#retry = setTimeout(() => this.#connectNow(), delay);
  }

  // pause is how long to stay away. A server that announced the end has chosen
  // the moment; should it fail, the next pause is the usual one.
  #pause() {
    const announced = this.#returnAt;
    this.#returnAt = null;
    const usual = backoff(this.#attempt++, Math.random());
    return announced === null ? usual : Math.max(announced - Date.now(), 0);
  }

  #joinOnce(ref) { this.#enqueue({ name: 'join', ref }); }

  #enqueue(command) {
    this.#queue.push(command);
    this.#next();
  }

  #next() {
    if (this.#inFlight || !this.#isOpen()) return;
    const command = this.#queue.shift();
    if (!command) return;
    const frame = this.#frame(command);
    if (!frame) {
      this.#next();
      return;
    }
    this.#inFlight = command;
    const socket = this.#socket;
    this.#deadline = setTimeout(() => this.#drop(socket), ANSWER_TIMEOUT);
    socket.send(JSON.stringify(frame));
  }

  // frame is what a command says now, or null if it has become moot.
  #frame({ name, ref, id, key, text }) {
    const room = this.#rooms.get(ref);
    if (name === 'leave') return { command: name, room: id };
    if (!room) return null;
    if (name === 'join') {
      const target = /^[0-9]{1,14}$/.test(ref) ? Number(ref) : ref;
      return { command: name, room: target, ids: true, ...(room.position && { after: room.position }) };
    }
    if (room.id === null) return null;
    if (name === 'send') return { command: name, room: room.id, message: text, key, ack: true };
    return { command: name, room: room.id };
  }

  #received(frame) {
    if ('msg_type' in frame) {
      this.#live(frame);
      return;
    }
    if (frame.type === 6) {
      const room = this.#byID(frame.room);
      if (room) this.#handlers.onUsers(room.ref, frame.data.users);
      this.#answered('room_users');
      return;
    }
    if ('reconnect' in frame) this.#announced(frame);
    else if ('join' in frame) this.#joined(frame);
    else if ('ack' in frame) this.#acknowledged(frame);
    else if ('leave' in frame) this.#answered('leave');
    else if ('error' in frame) this.#refused(frame);
  }

  // announced: the server will close this socket. Until then it goes on.
  #announced(frame) {
    this.#returnAt = Date.now() + Math.min(Math.max(Number(frame.reconnect) || 0, 0), LONGEST_ABSENCE);
    for (const [id, position] of Object.entries(frame.after ?? {})) {
      const room = this.#byID(Number(id));
      if (room?.position && isAfter(position, room.position)) room.position = position;
    }
  }

  #answered(name) {
    if (this.#inFlight?.name !== name) return;
    clearTimeout(this.#deadline);
    this.#inFlight = null;
    this.#next();
  }

  #joined(frame) {
    const command = this.#inFlight;
    if (command?.name !== 'join') return;
    this.#attempt = 0;
    const room = this.#rooms.get(command.ref);
    const id = Number(frame.join);
    if (room) {
      const recovered = frame.recovered === true;
      room.id = id;
      room.promised = frame.position ?? null;
      if (!recovered) room.position = frame.position ?? null;
      this.#handlers.onJoined(room.ref, { title: frame.title, recovered });
    } else {
      // It was left while the join was on its way.
      this.#queue.unshift({ name: 'leave', ref: command.ref, id });
    }
    this.#answered('join');
  }

  #acknowledged(frame) {
    const command = this.#inFlight;
    if (command?.name !== 'send') return;
    if (this.#rooms.has(command.ref)) this.#handlers.onSent(command.ref, command.key, frame.ack);
    this.#answered('send');
  }

  #refused(frame) {
    if (frame.error === 'USER_HAS_TO_LOGIN') {
      this.#handlers.onLoggedOut();
      return;
    }
    if (frame.room) {
      this.#lost(frame.room);
      return;
    }
    const command = this.#inFlight;
    if (!command) return;
    if (PASSING.has(frame.error) && (command.name === 'send' || command.name === 'join')) {
      this.#again(command, frame.retry_after);
      return;
    }
    if (command.name === 'join') this.#rooms.delete(command.ref);
    this.#handlers.onError(command, frame);
    this.#answered(command.name);
  }

  // giveUp ends the command in flight: to repeat it would end the next socket.
  #giveUp() {
    const command = this.#inFlight;
    this.#inFlight = null;
    if (command) this.#handlers.onError(command, { error: 'MESSAGE_INVALID', detail: 'It is too long.' });
  }

  // again repeats a command, under its key, after some seconds. Nothing else
  // goes before, so that messages stay in their order.
  #again(command, seconds = 2) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      this.#queue.unshift(command);
      this.#inFlight = null;
      this.#next();
    }, (seconds + Math.random()) * 1000);
  }

  // lost tells that the server has put us out.
  #lost(id) {
    const room = this.#byID(id);
    if (!room) return;
    this.#rooms.delete(room.ref);
    this.#handlers.onLost(room.ref);
  }

  #live(frame) {
    const room = this.#byID(frame.room);
    if (!room) return;
    if (this.#isGap(room, frame.prev)) {
      this.#drop(this.#socket);
      return;
    }
    if (frame.id && (!room.position || isAfter(frame.id, room.position))) room.position = frame.id;
    if (frame.msg_type === ENTER || frame.msg_type === LEAVE) this.#handlers.onNotice(room.ref, frame, frame.msg_type === ENTER);
    else if (frame.msg_type === MESSAGE) this.#handlers.onMessage(room.ref, frame);
  }

  // isGap reports whether the message before the one that has come did not. A
  // new socket then asks for all since.
  #isGap(room, prev) {
    if (!prev || !room.position || !isAfter(prev, room.position)) return false;
    return !room.promised || isAfter(prev, room.promised);
  }

  #byID(id) {
    for (const room of this.#rooms.values()) if (room.id === id) return room;
    return null;
  }

  // keepAlive asks something, so that a server that has gone silent is noticed.
  #keepAlive() {
    const joined = [...this.#rooms.values()].find((room) => room.id !== null);
    if (joined && !this.#inFlight) this.users(joined.ref);
  }
}
