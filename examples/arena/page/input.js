// What people do: keys, fingers, mouse. Whatever they use, it becomes a direction and a dash.
//
//   keys    arrows or WASD; space dashes
//   touch   the first finger is a stick wherever it is put down, a second one dashes, and so does a short tap
//   mouse   the disc goes where the pointer is while the button is held; the other button dashes

const KEYS = { ArrowLeft: [-1, 0], KeyA: [-1, 0], ArrowRight: [1, 0], KeyD: [1, 0], ArrowUp: [0, -1], KeyW: [0, -1], ArrowDown: [0, 1], KeyS: [0, 1] };
const STICK = 56; // how far a finger has to go for full thrust, in CSS pixels
const DEAD = 0.14; // of it, nothing happens
const TAP = 220; // ms

export class Controls {
  stick; // {x, y, dx, dy}: where it was put down and how far it is bent, for who draws it
  touched = false; // somebody has used a finger

  #held = new Set();
  #dash = false;
  #finger; // {id, at, moved}
  #pointer; // where the mouse is while its button is held
  #buttons = 0; // of the mouse
  #toWorld;

  // toWorld turns a place on the stage into a direction, from one's own disc: what a mouse means.
  constructor(stage, dashButton, toWorld) {
    this.#toWorld = toWorld;
    addEventListener("keydown", (event) => this.#key(event, true));
    addEventListener("keyup", (event) => this.#key(event, false));
    addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => document.hidden && this.release());
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => this.#up(event, end === "pointerup"));
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    dashButton.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the stick keeps its finger, and the stage the focus
      this.#dash = true;
    });
    dashButton.addEventListener("click", (event) => {
      if (event.detail === 0) this.#dash = true; // by keyboard, or by what reads the page out
    });
  }

  // take returns what is wanted in this tick. A dash is wanted once.
  take() {
    let [x, y] = this.#direction();
    const long = Math.hypot(x, y);
    if (long > 1) [x, y] = [x / long, y / long];
    const dash = this.#dash;
    this.#dash = false;
    return { ax: Math.round(x * 127), ay: Math.round(y * 127), dash };
  }

  // release lets everything go: nobody sees the page, so nobody holds anything.
  release() {
    this.#held.clear();
    this.#finger = this.#pointer = this.stick = undefined;
    this.#dash = false;
  }

  #direction() {
    if (this.stick) {
      const bent = Math.hypot(this.stick.dx, this.stick.dy) / STICK;
      return bent < DEAD ? [0, 0] : [this.stick.dx / STICK, this.stick.dy / STICK];
    }
    if (this.#pointer) return this.#toWorld(this.#pointer.x, this.#pointer.y);
    let [x, y] = [0, 0];
    for (const key of this.#held) {
      x += KEYS[key][0];
      y += KEYS[key][1];
    }
    return [Math.sign(x), Math.sign(y)];
  }

  #key(event, down) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest?.("input, textarea, dialog");
    if (event.code in KEYS && (!down || !typing)) {
      if (down) this.#held.add(event.code);
      else this.#held.delete(event.code);
      if (!typing) event.preventDefault();
    } else if (event.code === "Space" && down && !typing && !event.target.closest?.("button, a")) {
      event.preventDefault();
      if (!event.repeat) this.#dash = true;
    }
  }

  #down(event) {
    event.preventDefault();
    event.currentTarget.focus({ preventScroll: true });
    event.currentTarget.setPointerCapture(event.pointerId);
    if (event.pointerType === "mouse") return this.#mouse(event);
    this.touched = true;
    if (this.#finger) {
      this.#dash = true;
      return;
    }
    this.#finger = { id: event.pointerId, at: event.timeStamp, moved: false };
    this.stick = { ...place(event), dx: 0, dy: 0 };
  }

  // mouse takes any event of a mouse: a button that is pressed while another one is held comes as a move.
  #mouse(event) {
    if (event.buttons & ~this.#buttons & ~1) this.#dash = true;
    this.#buttons = event.buttons;
    this.#pointer = event.buttons & 1 ? place(event) : undefined;
  }

  #move(event) {
    if (event.pointerType === "mouse") return this.#mouse(event);
    if (event.pointerId !== this.#finger?.id) return;
    const { x, y } = place(event);
    let [dx, dy] = [x - this.stick.x, y - this.stick.y];
    const far = Math.hypot(dx, dy);
    if (far > STICK / 4) this.#finger.moved = true;
    if (far > STICK) {
      // The stick comes along, so that the way back is never long.
      const pull = 1 - STICK / far;
      this.stick.x += dx * pull;
      this.stick.y += dy * pull;
      [dx, dy] = [(dx * STICK) / far, (dy * STICK) / far];
    }
    Object.assign(this.stick, { dx, dy });
  }

  #up(event, meant) {
    if (event.pointerType === "mouse") return this.#mouse(event);
    if (event.pointerId !== this.#finger?.id) return;
    if (meant && !this.#finger.moved && event.timeStamp - this.#finger.at < TAP) this.#dash = true;
    this.#finger = this.stick = undefined;
  }
}

const place = (event) => ({ x: event.offsetX, y: event.offsetY });
