// A line chart over time, drawn by uPlot, which is under vendor and which the page has loaded.
import { el, text } from "./dom.js";

const { uPlot } = globalThis;
const KEEP = 300; // seconds
const HEIGHT = 132;

// colour resolves one of the page's colours.
function colour(name) {
  const probe = el("span", { class: `probe ${name}` });
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

export class Chart {
  #series;
  #format;
  #plot;
  #box;
  #values = [];
  #watch;
  #scheme = matchMedia("(prefers-color-scheme: dark)");
  #redraw = () => this.#build();

  // series are {key, label, colour}: which numbers of a point are shown.
  constructor(title, series, format) {
    this.#series = series;
    this.#format = format;
    this.#values = series.map(() => el("b"));
    this.#box = el("div", { class: "plot", "aria-hidden": "true" });
    const legend = series.map(({ label, colour: name }, i) => el("span", { class: `legend ${name}` }, el("i", { "aria-hidden": "true" }), `${label} `, this.#values[i]));
    this.root = el("figure", { class: "chart" }, el("figcaption", {}, el("span", { class: "name" }, title), ...legend), this.#box);
    this.#watch = new ResizeObserver(() => this.#plot?.setSize({ width: this.#box.clientWidth, height: HEIGHT }));
    this.#watch.observe(this.#box);
    this.#scheme.addEventListener("change", this.#redraw);
  }

  #build() {
    this.#plot?.destroy();
    const [soft, line] = [colour("soft"), colour("line")];
    const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    this.#plot = new uPlot({
      width: this.#box.clientWidth || 300,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 14, 0, 0],
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
      axes: [{ ...axis, size: 24, space: 56, values: (_, ticks) => ticks.map((t) => new Date(t * 1000).toLocaleTimeString("en-GB", { minute: "2-digit", second: "2-digit" })) },
        { ...axis, size: 54, space: 28, values: (_, ticks) => ticks.map((n) => this.#format(n)) }],
      series: [{}, ...this.#series.map(({ colour: name }) => ({ stroke: colour(name), width: 2, points: { show: false } }))],
    }, this.#data ?? [[], ...this.#series.map(() => [])], this.#box);
  }

  #data;

  // show draws the points, the newest last.
  show(points) {
    const some = points.slice(-KEEP);
    this.#data = [some.map((p) => p.at / 1000), ...this.#series.map(({ key }) => some.map((p) => p[key]))];
    if (!this.#plot) this.#build();
    else this.#plot.setData(this.#data);
    const last = some.at(-1);
    if (last) this.#series.forEach(({ key }, i) => text(this.#values[i], this.#format(last[key])));
  }

  close() {
    this.#watch.disconnect();
    this.#scheme.removeEventListener("change", this.#redraw);
    this.#plot?.destroy();
  }
}
