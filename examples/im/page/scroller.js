// A list of any length of which only what is seen is in the document.
//
// Rows that nobody has seen have an estimated height. When one turns out to be higher or lower,
// what is in sight stays where it is: the list shifts its own content by the difference, and leaves
// the position of the scrolling alone, since to set that would end a movement under way. Once
// nothing moves, the shift is taken back, unseen.
import { Heights } from "./heights.js";

const BEYOND = 700; // pixels above and below that are drawn, too
const ESTIMATE = 62;
const REST = 150; // ms without a movement

export class Scroller {
  stuck = true; // at the end, and to stay there when something is added
  #box;
  #list;
  #source;
  #heights = new Heights(ESTIMATE);
  #rows = new Map(); // what is in the document: {node, sign} by key
  #shift = 0; // how much lower the rows stand than the heights before them say
  #pin = null; // {row, offset}: where to be next
  #height = 0; // of the box, when it was last drawn
  #resting;
  #touched = false;
  #queued = false;

  // source: count(), key(row), sign(row) (what is drawn anew when it changes), draw(row) (an
  // element; null: it is not loaded), shown(first, last) (told after each drawing).
  constructor(box, list, source) {
    this.#box = box;
    this.#list = list;
    this.#source = source;
    box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    box.addEventListener("touchstart", () => (this.#touched = true), { passive: true });
    for (const end of ["touchend", "touchcancel"]) box.addEventListener(end, () => ((this.#touched = false), this.#rest()), { passive: true });
    const resized = new ResizeObserver(() => this.later());
    resized.observe(box);
    resized.observe(list);
  }

  // reset begins anew, with other rows: at a row, or at the end.
  reset(pin = null) {
    for (const { node } of this.#rows.values()) node.remove();
    this.#rows.clear();
    this.#heights.resize(0);
    this.#shift = 0;
    this.#pin = pin;
    this.stuck = !pin;
    this.draw();
  }

  // show brings a row into sight: offset pixels below the upper edge.
  show(row, offset) {
    this.stuck = false;
    this.#pin = { row, offset };
    this.draw();
  }

  toEnd() {
    this.stuck = true;
    this.draw();
  }

  // place returns the first row in sight, and how far below the upper edge it begins.
  place() {
    const y = this.#box.scrollTop - this.#shift;
    const row = this.#heights.rowAt(y);
    return { row, offset: this.#heights.top(row) - y };
  }

  node(key) {
    return this.#rows.get(key)?.node;
  }

  // rename keeps a row's element when its key changes.
  rename(from, to) {
    const row = this.#rows.get(from);
    if (!row || this.#rows.has(to)) return;
    this.#rows.delete(from);
    this.#rows.set(to, row);
  }

  // later draws once, before the next frame.
  later() {
    if (this.#queued) return;
    this.#queued = true;
    requestAnimationFrame(() => {
      this.#queued = false;
      this.draw();
    });
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    // When the box itself has changed, nobody has scrolled.
    if (clientHeight === this.#height) this.stuck = scrollHeight - clientHeight - scrollTop < 8;
    this.#rest();
    this.later();
  }

  // rest takes the shift back once nothing moves.
  #rest() {
    clearTimeout(this.#resting);
    if (this.#shift !== 0) this.#resting = setTimeout(() => !this.#touched && this.#settle(), REST);
  }

  #settle() {
    if (this.#shift === 0) return;
    const at = this.#box.scrollTop - this.#shift;
    this.#shift = 0;
    this.#pad(this.#first, this.#last);
    this.#box.scrollTop = at;
  }

  #first = 0;
  #last = 0;

  // draw brings the document up to date.
  draw() {
    const count = this.#source.count();
    this.#heights.resize(count);
    this.#height = this.#box.clientHeight;
    if (this.#height === 0) return; // it is not shown
    for (let turn = 0; turn < 4; turn++) if (this.#drawOnce(count)) break;
    this.#pin = null;
    this.#rest();
    if (count > 0) this.#source.shown(this.#first, this.#last, this.#rowsInSight());
  }

  // drawOnce draws what should be in sight. It reports whether that is so: heights may differ from
  // what was expected.
  #drawOnce(count) {
    const heights = this.#heights;
    const top = this.#box.scrollTop;
    let y = this.stuck ? heights.top(count) - this.#height : top - this.#shift;
    if (this.#pin) y = heights.top(this.#pin.row) - this.#pin.offset;
    const anchor = heights.rowAt(y);
    const before = heights.top(anchor);
    const first = heights.rowAt(Math.max(0, y - BEYOND));
    const last = count === 0 ? -1 : heights.rowAt(y + this.#height + BEYOND);
    this.#fill(first, last);
    this.#measure(first, last);

    let to = top;
    if (this.stuck) {
      this.#shift = 0;
      to = heights.top(count); // further than it goes
    } else if (this.#pin) {
      this.#shift = 0;
      to = heights.top(this.#pin.row) - this.#pin.offset;
    } else {
      this.#shift += before - heights.top(anchor);
      const low = heights.top(first) + this.#shift;
      if (first === 0 ? this.#shift !== 0 : low < 0) {
        to -= this.#shift;
        this.#shift = 0;
      }
    }
    this.#pad(first, last);
    if (to !== top) this.#box.scrollTop = to;
    const seen = this.#box.scrollTop - this.#shift;
    return (first === 0 || heights.top(first) <= seen - BEYOND / 2) && (last === count - 1 || heights.top(last + 1) >= seen + this.#height + BEYOND / 2);
  }

  #pad(first, last) {
    this.#first = first;
    this.#last = last;
    const { style } = this.#list;
    const above = `${Math.max(0, this.#heights.top(first) + this.#shift)}px`;
    const below = `${Math.max(0, this.#heights.top(this.#heights.size) - this.#heights.top(last + 1))}px`;
    if (style.paddingTop !== above) style.paddingTop = above;
    if (style.paddingBottom !== below) style.paddingBottom = below;
  }

  // fill makes the document's rows those from first to last, and keeps the elements of what stays.
  #fill(first, last) {
    const keys = new Set();
    for (let row = first; row <= last; row++) keys.add(this.#source.key(row));
    for (const [key, { node }] of this.#rows) {
      if (keys.has(key)) continue;
      if (node.contains(document.activeElement)) this.#box.focus({ preventScroll: true });
      node.remove();
      this.#rows.delete(key);
    }
    let next = this.#list.firstElementChild;
    for (let row = first; row <= last; row++) {
      const old = this.#rows.get(this.#source.key(row))?.node;
      const node = this.#rowNode(row);
      if (next && next === old) next = node; // it may have taken the place of the old one
      if (node === next) next = next.nextElementSibling;
      else this.#list.insertBefore(node, next);
    }
  }

  #rowNode(row) {
    const key = this.#source.key(row);
    const sign = this.#source.sign(row);
    const old = this.#rows.get(key);
    if (old?.sign === sign) return old.node;
    const node = this.#source.draw(row) ?? this.#placeholder(row);
    if (old) {
      const focused = old.node.contains(document.activeElement);
      old.node.replaceWith(node);
      if (focused) node.focus({ preventScroll: true });
    }
    this.#rows.set(key, { node, sign });
    return node;
  }

  #placeholder(row) {
    const node = document.createElement("article");
    node.className = "row blank";
    node.ariaLabel = "Not loaded yet";
    node.style.height = `${this.#heights.get(row)}px`;
    return node;
  }

  #measure(first, last) {
    for (let row = first; row <= last; row++) {
      const { node } = this.#rows.get(this.#source.key(row));
      this.#heights.set(row, node.getBoundingClientRect().height);
    }
  }

  #rowsInSight() {
    const y = this.#box.scrollTop - this.#shift;
    return [this.#heights.rowAt(Math.max(0, y)), this.#heights.rowAt(y + this.#height - 12)];
  }
}
