// Who is in the room, and who is said to have come and gone. A room that moves to another backend
// is entered again by everybody, one after the other: that is no coming and going, and the log says
// nothing of it.
const GRACE = 10_000; // ms for those who were here to come after the room

const fold = (name) => name.toLowerCase();

export class People {
  #me;
  #line;
  #here = null; // names, by folded name; null before one is in the room
  #expected = new Map(); // timers, by folded name: who was here before the room moved, and is not back yet
  #left = new Map(); // the lines that say that somebody has left, by folded name

  // me returns one's own name, and line adds a notice to the log and returns its element.
  constructor(me, line) {
    this.#me = me;
    this.#line = line;
  }

  // others are the names of those who are here too, in the order of their coming. Behind a gate
  // that has died somebody may be counted for a while who has come back by another.
  get others() {
    return [...(this.#here ?? new Map()).values()];
  }

  // clear is called when one leaves the room.
  clear() {
    for (const timer of this.#expected.values()) clearTimeout(timer);
    this.#expected.clear();
    this.#left.clear();
    this.#here = null;
  }

  // entered is called with who is in the room as one enters it, for the first time or again.
  entered(list) {
    const before = this.#here;
    this.#here = this.#named(list);
    if (!before) return;
    for (const [key, name] of before) {
      if (this.#here.has(key) || this.#expected.has(key)) continue;
      const gone = () => {
        this.#expected.delete(key);
        this.#left.set(key, this.#line(`${name} left`));
      };
      this.#expected.set(key, setTimeout(gone, GRACE));
    }
    this.#came(before);
  }

  // changed is called with who is in the room now.
  changed(list) {
    const before = this.#here;
    this.#here = this.#named(list);
    for (const [key, name] of before) {
      if (!this.#here.has(key)) this.#left.set(key, this.#line(`${name} left`));
    }
    this.#came(before);
  }

  #came(before) {
    for (const [key, name] of this.#here) {
      if (before.has(key) && !this.#expected.has(key)) continue;
      const left = this.#left.get(key);
      this.#left.delete(key);
      if (this.#expected.has(key)) {
        clearTimeout(this.#expected.get(key));
        this.#expected.delete(key);
      } else if (left?.isConnected && !left.nextSibling) {
        left.textContent = `${name} is back`; // for a moment the connection was away
      } else {
        this.#line(`${name} joined`);
      }
    }
  }

  #named(list) {
    const me = fold(this.#me());
    return new Map(list.map(({ name }) => [fold(name), name]).filter(([key]) => key !== me));
  }
}
