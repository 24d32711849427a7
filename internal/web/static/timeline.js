// What one conversation shows: messages in the order of their ids, with notices
// and messages of our own that are still on their way after them.

// order is the part of an id that orders it: its epoch and offset. The rest is
// the time.
const order = (id) => id.slice(0, 20);

// isAfter reports whether id a comes after id b.
export const isAfter = (a, b) => order(a) > order(b);

// LIMIT bounds what a page that is open for days holds on to.
const LIMIT = 2000;

export class Timeline {
  #entries = []; // {key, kind: 'message'|'notice', id, username, text, time, state}
  #ids = new Set();

  get entries() { return this.#entries; }

  // add puts a message in its place and reports whether it was new.
  add(message) {
    if (this.#ids.has(order(message.id))) return false;
    this.#ids.add(order(message.id));
    const entry = { kind: 'message', key: message.id, ...message };
    let at = this.#entries.length;
    while (at > 0 && this.#comesBefore(entry, this.#entries[at - 1])) at--;
    this.#entries.splice(at, 0, entry);
    if (at > 0) this.#trim(); // older messages are loaded because they are wanted
    return true;
  }

  #comesBefore(entry, other) {
    return other.state !== undefined || (other.id !== undefined && isAfter(other.id, entry.id));
  }

  // notice appends a system line.
  notice(key, text, time) {
    if (this.#entries.some((e) => e.key === key)) return;
    this.#entries.push({ kind: 'notice', key, text, time });
    this.#trim();
  }

  // pending appends a message of ours that the server has not acknowledged.
  pending(key, username, text) {
    this.#entries.push({ kind: 'message', key, username, text, time: new Date(), state: 'pending' });
  }

  // settle gives a pending message the id that the server acknowledged. It may
  // have come live already.
  settle(key, id) {
    const at = this.#entries.findIndex((e) => e.key === key);
    if (at < 0) return;
    const [entry] = this.#entries.splice(at, 1);
    this.add({ id, username: entry.username, text: entry.text, time: entry.time });
  }

  // fail marks a pending message as refused.
  fail(key, reason) {
    const entry = this.#entries.find((e) => e.key === key);
    if (entry) Object.assign(entry, { state: 'failed', reason });
  }

  // reset forgets everything that the server knows, to load it afresh.
  reset() {
    this.#entries = this.#entries.filter((e) => e.state !== undefined);
    this.#ids.clear();
  }

  #trim() {
    while (this.#entries.length > LIMIT) {
      const [gone] = this.#entries.splice(0, 1);
      if (gone.id) this.#ids.delete(order(gone.id));
    }
  }
}
