// Glide: after a time without a connection, nothing jumps. Each disc glides from where it was seen
// last to where it is now.
const MELT = 150; // ms until a third of the way is left

export class Glide {
  #from; // where discs were seen, by place, until the first snapshot after the time away
  #ready = false; // that is there
  #off = new Map(); // what is left of the way of each disc

  clear() {
    this.#from = undefined;
    this.#off.clear();
  }

  // begin is called when the connection is back, with what was seen last.
  begin(view) {
    this.#from = view && new Map(view.discs.map((d) => [d.id, d]));
    this.#ready = false;
  }

  // arrived is called with each snapshot.
  arrived() {
    this.#ready = true;
  }

  // apply returns the view with its discs on their way; ms have passed since the last one.
  apply(view, ms) {
    const keep = Math.exp(-ms / MELT);
    for (const off of this.#off.values()) {
      off.x *= keep;
      off.y *= keep;
    }
    if (this.#from && this.#ready) {
      for (const d of view.discs) {
        const from = this.#from.get(d.id);
        if (from?.alive && d.alive) this.#off.set(d.id, { x: from.x - d.x, y: from.y - d.y });
      }
      this.#from = undefined;
    }
    if (this.#off.size === 0) return view;
    return { ...view, discs: view.discs.map((d) => ({ ...d, x: d.x + (this.#off.get(d.id)?.x ?? 0), y: d.y + (this.#off.get(d.id)?.y ?? 0) })) };
  }
}
