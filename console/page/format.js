// How numbers are written: short, and the same everywhere.

const whole = new Intl.NumberFormat("en");

export const count = (n) => whole.format(Math.round(n));

// rate is a number a second.
export function rate(n) {
  if (!n) return "0";
  if (n < 10) return n.toFixed(n < 1 ? 2 : 1);
  return count(n);
}

// ms is a time in milliseconds.
export function ms(n) {
  if (!n) return "0";
  if (n < 0.1) return `${Math.round(n * 1000)} µs`;
  if (n < 10) return `${n.toFixed(n < 1 ? 2 : 1)} ms`;
  if (n < 1000) return `${Math.round(n)} ms`;
  return `${(n / 1000).toFixed(n < 10_000 ? 1 : 0)} s`;
}

const units = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(n) {
  let i = 0;
  while (n >= 1024 && i < units.length - 1) [n, i] = [n / 1024, i + 1];
  return `${n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

export const percent = (n) => `${Math.round(n * 100)} %`;

// ago is an age in milliseconds.
export function ago(n) {
  if (n < 0) return "never";
  if (n < 10_000) return `${(n / 1000).toFixed(1)} s ago`;
  return `${lasting(n)} ago`;
}

// lasting is a long time in milliseconds.
export function lasting(n) {
  const s = Math.max(0, Math.round(n / 1000));
  if (s < 100) return `${s} s`;
  if (s < 6000) return `${Math.round(s / 60)} min`;
  if (s < 200_000) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

export const since = (time) => (time ? lasting(Date.now() - Date.parse(time)) : "");

const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const clock = (time) => clockFormat.format(new Date(time));

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

// nameOf is how people call a node.
export const nameOf = (node) => node.label || node.node;
