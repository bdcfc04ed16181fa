// Payloads for people, and for JSON.

const utf8 = new TextDecoder("utf-8", { fatal: true });

// shown is a payload for people: JSON in lines, other text as it is, else bytes.
export function shown(data) {
  let said;
  try {
    said = utf8.decode(data);
  } catch {
    return Array.from(data.subarray(0, 512), (b) => b.toString(16).padStart(2, "0")).join(" ");
  }
  try {
    const value = JSON.parse(said);
    return /\d{16}/.test(said) ? said : JSON.stringify(value, null, 2); // long numbers keep their digits
  } catch {
    return said;
  }
}

export const base64 = (data) => btoa(Array.from(data, (b) => String.fromCharCode(b)).join(""));

export const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
