// The console's JSON, as docs/console.md describes it.

let csrf;

// gone leads back to the form when the cookie is over.
function gone() {
  location.reload();
  return new Promise(() => {});
}

async function taken(response) {
  if (response.status === 401) return gone();
  const body = await response.json().catch(() => ({ error: `the console has answered ${response.status}` }));
  if (!response.ok) throw new Error(body.error);
  return body;
}

export async function get(path, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== undefined && value !== ""));
  return taken(await fetch(`api/${path}${query.size ? `?${query}` : ""}`));
}

export async function post(path, body = {}) {
  csrf ??= (await get("me")).csrf;
  return taken(await fetch(path === "logout" ? path : `api/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(body),
  }));
}
