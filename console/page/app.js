// The frame of the console: which view is shown, the stream of figures, who is asked.
import { post } from "./api.js";
import { $, el, text, toast } from "./dom.js";
import { ago, nameOf } from "./format.js";
import { views } from "./views.js";

const OLD = 4000; // ms without an event, after which the page says so

let view; // the module of the present view
let shown; // what its open has returned
let stream; // the event source, and which
let streamOf;
let told = 0; // when the last event came, on this page's clock
let last; // the latest overview
let points = []; // the history
let seen = 0; // events of this stream

const state = {
  get overview() {
    return last;
  },
  get points() {
    return points;
  },
  nameOf: (address) => nameOf(last?.nodes.find(({ node }) => node === address) ?? { node: address }),
};

for (const { id, title, icon } of views) {
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", icon);
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  picture.append(path);
  $("nav").append(el("a", { href: `#/${id}`, "data-view": id }, picture, el("span", {}, title)));
}

// listen opens the stream of a view: each leaves out what the view does not show.
function listen(of) {
  if (streamOf === of && stream?.readyState !== EventSource.CLOSED) return;
  stream?.close();
  streamOf = of;
  seen = 0;
  stream = new EventSource(`api/events?view=${of}`);
  stream.addEventListener("history", ({ data }) => {
    points = JSON.parse(data) ?? [];
    seen = points.length;
  });
  stream.addEventListener("overview", ({ data }) => {
    last = JSON.parse(data);
    told = performance.now();
    if (seen++) points.push(last.total); // the first has no rates yet, if nobody has looked before
    if (points.length > 300) points.shift();
    age();
    shown?.update?.(last);
  });
  stream.addEventListener("error", () => {
    age();
    if (stream.readyState !== EventSource.CLOSED) return; // it tries again by itself
    fetch("api/me").then(({ status }) => status === 401 && location.reload(), () => {});
    setTimeout(() => streamOf === of && listen(of), 2000);
  });
}

// age says how old what is shown is.
function age() {
  const live = $("live");
  const old = performance.now() - told;
  const is = told === 0 ? "connecting" : old > OLD ? "waiting" : "open";
  if (live.dataset.state !== is) live.dataset.state = is;
  text(live.querySelector(".words"), is === "open" ? "Live" : is === "connecting" ? "Connecting…" : `As it was ${ago(old)}`);
  document.body.toggleAttribute("data-stale", is === "waiting");
  if (last) text($("where"), `at ${state.nameOf(last.self)}`);
}

// go shows the view that the address names. What stands behind its name is for the view.
function go() {
  const [id, query = ""] = location.hash.replace(/^#\//, "").split("?");
  const next = views.find((v) => v.id === id) ?? views[0];
  const params = Object.fromEntries(new URLSearchParams(query));
  for (const link of $("nav").children) {
    if (link.dataset.view === next.id) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === next && shown?.go) return shown.go(params);
  shown?.close?.();
  view = next;
  document.title = `${next.title} · nano console`;
  $("main").replaceChildren();
  $("main").scrollTop = 0;
  shown = next.open($("main"), state, params);
  listen(next.stream ?? "nodes");
  if (last) shown?.update?.(last);
}

$("out").addEventListener("click", async () => {
  await post("logout").catch((err) => toast(err.message, true));
  location.reload();
});
addEventListener("hashchange", go);
setInterval(age, 500);
go();
