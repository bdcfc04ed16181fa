// Pictures: made small enough, uploaded, and looked at.
import { el, nameOfPicture } from "./words.js";
import { state } from "./store.js";
import { $, clock } from "./dom.js";

const SIDE = 2400; // pixels that the longer side of an uploaded picture has at most
const TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const QUALITIES = [0.86, 0.75, 0.6, 0.45];

export const isPicture = (file) => file.type.startsWith("image/");

// prepare makes a file small enough for the server. The result has the bytes, and a preview to be
// shown until the server has it.
export async function prepare(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error("That is no picture that can be shown here.");
  }
  const { width, height } = bitmap;
  const fits = file.size <= state.limits.picture && TYPES.includes(file.type);
  if (!fits && file.type === "image/gif") throw new Error(`An animation can have ${Math.round(state.limits.picture / 1024)} KB at most.`);
  const blob = fits ? file : await smaller(bitmap);
  const preview = paint(bitmap, Math.min(1, 640 / Math.max(width, height)));
  bitmap.close();
  return { blob, width, height, preview };
}

function paint(bitmap, scale) {
  const canvas = el("canvas", { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

async function smaller(bitmap) {
  for (let side = SIDE; side >= 600; side /= 2) {
    const canvas = paint(bitmap, Math.min(1, side / Math.max(bitmap.width, bitmap.height)));
    for (const quality of QUALITIES) {
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/webp", quality));
      if (blob && blob.size <= state.limits.picture) return blob;
    }
  }
  throw new Error("The picture is too large.");
}

// copy returns another canvas with the same picture: one element stands in one place only.
export function copy(canvas) {
  const twin = el("canvas", { width: canvas.width, height: canvas.height });
  twin.getContext("2d").drawImage(canvas, 0, 0);
  return twin;
}

// upload sends a prepared picture, and returns what the server calls it. Errors have a code, as
// those of requests.
export async function upload(c, { blob }) {
  let response;
  try {
    response = await fetch(`/pictures?channel=${encodeURIComponent(c.id)}`, { method: "POST", headers: { "Content-Type": blob.type }, body: blob });
  } catch (err) {
    throw Object.assign(new Error("The picture could not be sent.", { cause: err }), { code: "unavailable" });
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const { code = "internal", message = "The picture was refused." } = answer.error ?? {};
    throw Object.assign(new Error(message), { code: response.status >= 502 ? "unavailable" : code });
  }
  const small = new Image();
  small.src = thumb(answer);
  await small.decode().catch(() => {}); // it takes the preview's place without a flicker
  return answer;
}

export const full = ({ id }) => `/pictures/${encodeURIComponent(id)}`;
export const thumb = (picture) => `${full(picture)}/thumb`;

// shownSize is how large a picture stands among the messages.
export function shownSize({ width, height }) {
  const scale = Math.min(1, 320 / Math.max(width, height));
  return { width: Math.max(48, Math.round(width * scale)), height: Math.max(48, Math.round(height * scale)) };
}

// ---- looking at one

let looking = null; // {list, at}

// look opens a picture's message; list are all that one can go on to.
export function look(list, m) {
  looking = { list, at: list.indexOf(m) };
  show();
  $("viewer").showModal();
}

function show() {
  const { list, at } = looking;
  const m = list[at];
  const image = $("viewer-image");
  image.src = full(m.picture);
  image.width = m.picture.width;
  image.height = m.picture.height;
  image.alt = nameOfPicture(m);
  $("viewer-name").textContent = m.name;
  $("viewer-time").replaceChildren(clock(m.at));
  $("viewer-text").textContent = m.text ?? "";
  $("viewer-save").href = full(m.picture);
  $("viewer-save").download = `${m.picture.id}.${m.picture.type.split("/")[1]}`;
  $("viewer-before").disabled = at <= 0;
  $("viewer-after").disabled = at >= list.length - 1;
}

function go(by) {
  const to = looking.at + by;
  if (to < 0 || to >= looking.list.length) return;
  looking.at = to;
  show();
}

$("viewer-before").onclick = () => go(-1);
$("viewer-after").onclick = () => go(1);
$("viewer-close").onclick = () => $("viewer").close();
$("viewer").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") go(-1);
  if (event.key === "ArrowRight") go(1);
});
$("viewer").addEventListener("click", (event) => event.target.closest("button, a, img") ?? $("viewer").close());
$("viewer").addEventListener("close", () => {
  $("viewer-image").removeAttribute("src");
  looking = null;
});
