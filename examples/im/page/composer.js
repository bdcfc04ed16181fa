// Where one writes: text, a picture, a reply, the correction of a message.
import { $, explain } from "./dom.js";
import { arrive, request, tell } from "./connection.js";
import { mentionsIn, suggesting, wireMentions } from "./mentions.js";
import { send } from "./outbox.js";
import { copy, isPicture, prepare } from "./pictures.js";
import { events, state } from "./store.js";
import { lastOwn, sent } from "./talk.js";
import { toast } from "./ui.js";
import { iconButton, el, plain } from "./words.js";

const TYPING_EVERY = 3000; // ms between two notes that one is typing

const text = $("text");
let c = null;
let typedAt = 0; // when the others were last told that one is typing; 0: they think one is not
let prepared = null; // the picture that goes with the next message

// openComposer shows the draft of a channel; null: there is none to write in.
export function openComposer(channel) {
  if (c && c !== channel) {
    keepDraft();
    stopTyping();
    setPicture(null);
  }
  c = channel;
  if (!c) return;
  text.value = c.draft.text;
  drawContext();
  changed();
}

// compose puts the cursor into the field, where that brings up no keyboard over what one reads.
export function compose() {
  if (matchMedia("(hover: hover)").matches) text.focus();
}

function keepDraft() {
  c.draft.text = text.value;
}

// ---- what the next message is about

export function replyTo(m) {
  if (c.draft.edit) endEdit();
  c.draft.reply = m;
  drawContext();
  text.focus();
}

export function editing(m) {
  if (!c.draft.edit) c.draft.before = text.value;
  c.draft.edit = m;
  c.draft.reply = null;
  text.value = m.text;
  drawContext();
  changed();
  text.focus();
  text.setSelectionRange(text.value.length, text.value.length);
}

function endEdit() {
  text.value = c.draft.before ?? "";
  c.draft.edit = null;
}

function cancel() {
  if (c.draft.edit) endEdit();
  c.draft.reply = null;
  drawContext();
  changed();
  text.focus();
}

function drawContext() {
  const { edit, reply } = c.draft;
  const about = edit ?? reply;
  $("context").hidden = !about;
  if (!about) return;
  $("context-title").textContent = edit ? "Edit your message" : `Reply to ${reply.name}`;
  $("context-text").textContent = plain(about).slice(0, 200);
}

$("context-cancel").onclick = cancel;

// ---- pictures

async function attach(files) {
  const file = [...files].find(isPicture);
  if (!file || !c) return;
  const channel = c;
  try {
    const result = await prepare(file);
    if (c === channel) setPicture(result);
  } catch (err) {
    toast(err.message, { error: true });
  }
}

function setPicture(value) {
  prepared = value;
  $("attached").hidden = !prepared;
  $("attached").replaceChildren();
  if (prepared) {
    $("attached").append(copy(prepared.preview), el("span", {}, "The picture goes with your message."),
      iconButton("cross", "Remove the picture", { onclick: () => (setPicture(null), text.focus()) }));
    text.focus();
  }
  changed();
}

$("attach").onclick = () => $("file").click();
$("file").onchange = () => {
  attach($("file").files);
  $("file").value = "";
};
text.addEventListener("paste", (event) => {
  if (![...event.clipboardData.files].some(isPicture)) return;
  event.preventDefault();
  attach(event.clipboardData.files);
});
const stage = $("talk");
const withFiles = (event) => event.dataTransfer?.types.includes("Files");
stage.addEventListener("dragover", (event) => {
  if (!withFiles(event) || !c) return;
  event.preventDefault();
  stage.classList.add("dropping");
});
stage.addEventListener("dragleave", (event) => !stage.contains(event.relatedTarget) && stage.classList.remove("dropping"));
stage.addEventListener("drop", (event) => {
  stage.classList.remove("dropping");
  if (!withFiles(event)) return;
  event.preventDefault();
  attach(event.dataTransfer.files);
});

// ---- sending

const length = () => [...text.value.trim()].length;

// changed brings what depends on the text up to date.
function changed() {
  const left = state.limits.text - length();
  $("count").textContent = left < 200 ? String(left) : "";
  $("count").classList.toggle("over", left < 0);
  $("send").classList.toggle("ready", left >= 0 && (text.value.trim() !== "" || Boolean(prepared)));
  if (left >= 0) setError("");
}

function setError(words) {
  $("text-error").textContent = words;
  text.setAttribute("aria-invalid", String(words !== ""));
}

async function submit() {
  const words = text.value.trim();
  if (!c || (!words && !prepared)) return;
  if (length() > state.limits.text) return setError(`A message has ${state.limits.text} characters at most.`);
  const { edit, reply } = c.draft;
  if (edit) return submitEdit(edit, words);
  send(c, { text: words, reply: reply?.n, mentions: mentionsIn(c, words), prepared });
  c.draft = { text: "", mentions: new Map(), reply: null, edit: null };
  text.value = "";
  stopTyping(false);
  drawContext();
  setPicture(null);
  sent();
}

async function submitEdit(m, words) {
  if (words === m.text) return cancel();
  try {
    arrive(await request("im.edit", { channel: c.id, n: m.n, text: words }));
    if (c?.draft.edit === m) cancel();
  } catch (err) {
    setError(`The change is not stored. ${explain(err)}`);
  }
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});

text.addEventListener("keydown", (event) => {
  if (event.isComposing || suggesting(event)) return;
  if (event.key === "Enter" && !event.shiftKey && !(matchMedia("(pointer: coarse)").matches && !event.ctrlKey)) {
    event.preventDefault();
    submit();
  } else if (event.key === "Escape" && (c.draft.edit || c.draft.reply)) {
    event.preventDefault();
    cancel();
  } else if (event.key === "ArrowUp" && text.value === "" && !event.altKey) {
    const m = lastOwn();
    if (!m) return;
    event.preventDefault();
    editing(m);
  }
});

// ---- typing

text.addEventListener("input", () => {
  keepDraft();
  changed();
  if (text.value === "" || c.draft.edit) return stopTyping();
  if (Date.now() - typedAt < TYPING_EVERY) return;
  typedAt = Date.now();
  tell("im.typing", { channel: c.id });
});

// stopTyping tells the others that one is not typing any more. They see that by themselves when a
// message comes.
function stopTyping(say = true) {
  if (typedAt && say) tell("im.typing", { channel: c.id, stopped: true });
  typedAt = 0;
}

events.on("connection", () => state.ready || (typedAt = 0));
wireMentions(text, () => c);
