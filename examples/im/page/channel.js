// A channel, as the page knows it: how far it is, how far one has read, and those of its messages
// that the page holds.
import { events, met, state } from "./store.js";

const MOST = 1500; // messages that a channel holds; those far from what is seen are forgotten
const PAGE = 100;

export class Channel {
  messages = new Map(); // by number
  quotes = new Map(); // messages that others reply to, and which are not in messages
  first = 1; // the first number that exists
  holding = false; // whether messages are held: from the first request for them
  ready = false; // whether the newest page is here
  fresh = 0; // the number before which "new messages" stands; 0: nowhere
  pending = []; // what is on its way: see outbox.js
  typing = new Map(); // who is typing: {name, timer} by user id
  reads = {}; // how far others have read, by user id
  members = 0;
  people = null; // Person by id, once the members are known
  peopleAt = 0; // when that was
  draft = { text: "", mentions: new Map(), reply: null, edit: null };
  place = null; // where it was left: {n, offset}; null: at the end
  n = 0;
  rev = 0;
  read = 0;
  #unread = 0; // messages of others beyond read
  #ahead = new Set(); // revs that are known beyond a gap
  #loading = null;
  #wanted = null;
  #asked = new Set();

  constructor(value) {
    this.id = value.id;
    this.kind = value.kind;
    this.describe(value);
    this.begin(value);
  }

  get unread() {
    return this.role === "invited" ? 0 : Math.max(0, Math.min(this.#unread, this.n - this.read));
  }

  // base is the number of the first message that is shown. A page can be only so high.
  get base() {
    return Math.max(1, this.first, this.n - 299_999);
  }

  // describe takes over what does not depend on messages.
  describe({ title, members, role, with: other }) {
    const came = this.role === "invited" && role !== "invited";
    Object.assign(this, { title, members, role, with: other ?? this.with });
    if (other) {
      met(other);
      if (other.online) state.online.add(other.id);
      else state.online.delete(other.id);
    }
    return came;
  }

  // begin takes over how far the channel is, when nothing of it is held.
  begin({ n, rev, read, unread = 0, mentioned = 0, last = null }) {
    Object.assign(this, { n, rev, mentioned, last });
    this.count(read, unread);
  }

  // count takes over how many messages are unread for who has read up to a number.
  count(read, unread = 0) {
    if (read < this.read) return this.#count(); // the server does not know yet what was read here
    this.read = read;
    this.#unread = unread;
  }

  // readTo notes that everything up to a number is read. It never goes back.
  readTo(n) {
    if (n <= this.read) return;
    this.read = n;
    if (n >= this.n) this.mentioned = 0;
    this.#count();
  }

  // firstUnread returns the number of the first message of somebody else that is not read.
  firstUnread() {
    let n = this.read + 1;
    while (n < this.n && this.messages.get(n)?.from === state.me.id) n++;
    return n;
  }

  // #count counts again, as far as the messages are here.
  #count() {
    let unread = 0;
    for (let n = this.read + 1; n <= this.n; n++) {
      const m = this.messages.get(n);
      if (!m) return (this.#unread = Math.min(this.#unread, this.n - this.read));
      if (m.from !== state.me.id && !m.deleted && !m.gone) unread++;
    }
    return (this.#unread = unread);
  }

  // advance notes a rev, and reports whether none before it is missing.
  advance(rev) {
    if (rev > this.rev) this.#ahead.add(rev);
    while (this.#ahead.delete(this.rev + 1)) this.rev++;
    return this.#ahead.size === 0;
  }

  // caughtUp notes that everything up to a rev is known.
  caughtUp(rev) {
    this.rev = Math.max(this.rev, rev);
    for (const r of this.#ahead) if (r <= this.rev) this.#ahead.delete(r);
    return this.advance(0);
  }

  // put holds a message, unless what is held of it is newer.
  put(m) {
    met({ id: m.from, name: m.name });
    if (this.quotes.has(m.n) && this.quotes.get(m.n).rev < m.rev) this.quotes.set(m.n, m);
    const old = this.messages.get(m.n);
    if (!this.holding || (old && old.rev >= m.rev)) return false;
    this.messages.set(m.n, m);
    return true;
  }

  // receive takes a message that is new or has changed. It reports whether it is new here.
  receive(m) {
    this.put(m);
    const isNew = m.n > this.n;
    if (isNew) {
      if (m.from !== state.me.id) {
        if (!m.deleted) this.#unread++;
        if (m.mentions?.includes(state.me.id)) this.mentioned++;
      } else if (this.read === this.n) this.read = m.n;
      this.n = m.n;
    } else if (m.deleted && m.n > this.read) this.#count();
    if (!this.last || m.n > this.last.n || (m.n === this.last.n && m.rev > this.last.rev)) this.last = m;
    const who = this.typing.get(m.from);
    if (who && isNew) {
      clearTimeout(who.timer);
      this.typing.delete(m.from);
      events.emit("typing", this);
    }
    return isNew;
  }

  // forget drops all messages: they are to be loaded again.
  forget() {
    this.messages.clear();
    this.quotes.clear();
    this.#ahead.clear();
    this.holding = this.ready = false;
    this.#loading = this.#wanted = null;
  }

  // load asks for the newest page, if it is not here.
  async load(request) {
    if (this.ready) return;
    this.holding = true;
    const page = await request("im.history", { channel: this.id, limit: PAGE });
    this.#take(page);
    if (page.n > this.n) {
      this.#unread += page.n - this.n;
      this.n = page.n;
      this.#count();
    }
    this.last = this.messages.get(this.n) ?? this.last;
    this.ready = true;
  }

  #take(page) {
    for (const m of page.messages) this.put(m);
    const first = Math.max(1, page.first);
    if (first === this.first) return;
    this.first = first;
    for (const n of this.messages.keys()) if (n < first) this.messages.delete(n);
    if (this.ready) events.emit("reset", this);
  }

  // fill loads what is missing between two numbers: one page at a time, those in sight last asked
  // for first.
  async fill(request, lo, hi) {
    this.#wanted = [lo, hi];
    if (this.#loading) return;
    const loading = (this.#loading = {});
    try {
      while (this.#wanted && this.#loading === loading) {
        const before = this.#nextPage(...this.#wanted);
        if (!before) break;
        const page = await request("im.history", { channel: this.id, before, limit: PAGE });
        if (this.#loading !== loading) return;
        this.#take(page);
        // A number that exists and is not told would be asked for again and again.
        for (let n = Math.max(this.first, before - PAGE); n < before && n <= this.n; n++) {
          if (!this.messages.has(n)) this.messages.set(n, { n, rev: 0, at: 0, from: "", name: "", gone: true });
        }
        events.emit("messages", this);
      }
    } finally {
      if (this.#loading === loading) this.#loading = null;
    }
  }

  // nextPage returns the number before which a page is missing; 0: nothing is.
  #nextPage(lo, hi) {
    lo = Math.max(lo, this.base);
    hi = Math.min(hi, this.n);
    let from = lo;
    while (from <= hi && this.messages.has(from)) from++;
    if (from > hi) return 0;
    let to = hi;
    while (this.messages.has(to)) to--;
    const up = to < hi || hi === this.n; // what is missing is above what is here: the page ends at it
    return (up ? to + 1 : Math.min(from + PAGE, this.n + 1));
  }

  // trim forgets messages far from those in sight.
  trim(lo, hi) {
    if (this.messages.size <= MOST) return;
    for (const n of this.messages.keys()) if (n < lo - 400 || n > hi + 400) this.messages.delete(n);
  }

  // quote returns the message with a number, undefined while it is not known: it is asked for then.
  quote(request, n) {
    const known = this.messages.get(n) ?? this.quotes.get(n);
    if (known || this.#asked.has(n)) return known;
    if (n < this.first || n > this.n) return { n, rev: 0, gone: true };
    if (this.#asked.size === 0) queueMicrotask(() => this.#askQuotes(request));
    this.#asked.add(n);
    return undefined;
  }

  async #askQuotes(request) {
    const numbers = [...this.#asked].slice(-PAGE);
    try {
      const { messages } = await request("im.get", { channel: this.id, numbers });
      if (this.quotes.size > 500) this.quotes.clear();
      for (const n of numbers) this.quotes.set(n, { n, rev: 0, gone: true });
      for (const m of messages) this.quotes.set(m.n, m);
    } catch {
      // asked again when it is drawn again
    }
    this.#asked.clear();
    events.emit("messages", this);
  }
}
