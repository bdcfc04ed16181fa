// Coming in: by name, by the token of an operator's system, or by a provider.
import { $, sentence } from "./dom.js";
import { el } from "./words.js";
import { kept } from "./store.js";

const PROVIDERS = { oidc: "Sign in with your account", github: "Sign in with GitHub" };

// post sends JSON to the server's HTTP routes.
export async function post(path, body) {
  let response;
  try {
    response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  } catch (err) {
    throw new Error("The server cannot be reached right now.", { cause: err });
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(sentence(answer.error?.message ?? `the server answers ${response.status}`));
  return answer;
}

// ways asks how one can sign in here, and who the cookie says one is. It tries until the server
// answers.
export async function ways() {
  for (let wait = 500; ; wait = Math.min(wait * 2, 10_000)) {
    try {
      const response = await fetch("/auth/ways");
      if (response.ok) return await response.json();
    } catch {
      // it is away
    }
    note("The server cannot be reached right now. This page tries again.");
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

export function note(text) {
  $("welcome-note").hidden = !text;
  $("welcome-note").textContent = text;
}

// showWelcome asks who comes. entered is called when that is known.
export function showWelcome(list, entered) {
  $("welcome").hidden = false;
  $("app").hidden = true;
  $("by-name").hidden = !list.includes("name");
  $("by-token").hidden = !list.includes("token");
  $("providers").replaceChildren(...Object.entries(PROVIDERS).filter(([way]) => list.includes(way)).map(([way, label]) => el("a", { class: "secondary", href: `/auth/${way}` }, label)));
  $("name").value = kept.get("name") ?? "";
  wire($("by-name"), $("name"), $("name-error"), "/auth/name", (name) => ({ name }), (user) => {
    kept.set("name", user.name);
    entered(user);
  });
  wire($("by-token"), $("token"), $("token-error"), "/auth/token", (token) => ({ token }), entered);
  if (matchMedia("(hover: hover)").matches) (list.includes("name") ? $("name") : $("token")).focus();
}

function wire(form, field, error, path, body, done) {
  const say = (text) => {
    error.textContent = text;
    field.setAttribute("aria-invalid", String(text !== ""));
  };
  say("");
  form.onsubmit = async (event) => {
    event.preventDefault();
    say("");
    try {
      const { user } = await post(path, body(field.value));
      note("");
      done(user);
    } catch (err) {
      say(err.message);
      field.focus();
    }
  };
}
