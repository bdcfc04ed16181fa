// The stage: the canvas, how large it is, and where in it a place of the world lies. One looks at the platform a little
// from the side, so what is further down in the world is nearer.

const WIDE = 0.8; // how much of its height a circle keeps
const TALL = 0.93; // where there is more height than width
const SHARPEST = 2; // device pixels for a CSS pixel, at most: more costs time and shows nothing
const SLOW = 1 / 28; // s: a frame that takes longer is drawn with fewer pixels next time
const CLOSEST = 250; // units: a rim that is smaller is not shown larger

export class Stage {
  width = 0; // in CSS pixels
  height = 0;
  scale = 1; // CSS pixels a unit
  tilt = WIDE;
  sharp = false; // whatever it costs, as for a picture

  #canvas;
  #radius; // of what is in sight, which follows the rim
  #x = 0;
  #y = 0;
  #quality = 1;
  #pace = 1 / 60;
  #inset = { top: 0, bottom: 0 };

  constructor(canvas) {
    this.#canvas = canvas;
    this.draw = canvas.getContext("2d");
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
  }

  // keepClear says how much at the top and at the bottom is covered by other things.
  keepClear(top, bottom) {
    this.#inset = { top, bottom };
  }

  // begin clears the stage for a frame, s seconds after the last one, with a rim in sight. shake moves all of it.
  begin(rim, s, shake) {
    this.#adapt(s);
    const want = Math.max(rim, CLOSEST);
    this.#radius = this.#radius === undefined || Math.abs(want - this.#radius) > 150 ? want : this.#radius + (want - this.#radius) * Math.min(1, 2 * s);
    const { top, bottom } = this.#inset;
    const across = this.#radius + 34;
    this.scale = Math.max(0.05, Math.min(this.width / (2 * across), (this.height - top - bottom) / (2 * across * this.tilt + 90)));
    this.#x = this.width / 2 + (Math.random() - 0.5) * 2 * shake;
    this.#y = top + (this.height - top - bottom) / 2 + (Math.random() - 0.5) * 2 * shake;
    const dots = this.#canvas.width / this.width;
    this.draw.setTransform(dots, 0, 0, dots, 0, 0);
    this.draw.clearRect(0, 0, this.width, this.height);
  }

  // at returns where a place of the world is on the stage; z is above the platform.
  at(x, y, z = 0) {
    return [this.#x + x * this.scale, this.#y + (y * this.tilt - z) * this.scale];
  }

  // from returns the place of the world that is at a place on the stage.
  from(x, y) {
    return [(x - this.#x) / this.scale, (y - this.#y) / this.scale / this.tilt];
  }

  // adapt draws less sharply where the machine is too slow for more.
  #adapt(s) {
    if (this.sharp && this.#quality < 1) {
      this.#quality = 1;
      this.#resize();
    }
    if (s <= 0 || s > 0.5 || this.sharp) return;
    this.#pace += (s - this.#pace) * 0.05;
    if (this.#pace > SLOW && this.#quality > 0.5) {
      this.#quality -= 0.25;
      this.#pace = 1 / 60;
      this.#resize();
    }
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#canvas;
    if (!clientWidth || !clientHeight) return;
    [this.width, this.height] = [clientWidth, clientHeight];
    this.tilt = clientHeight > clientWidth ? TALL : WIDE;
    const dots = Math.min(SHARPEST, devicePixelRatio || 1) * this.#quality;
    this.#canvas.width = Math.round(clientWidth * dots);
    this.#canvas.height = Math.round(clientHeight * dots);
  }
}
