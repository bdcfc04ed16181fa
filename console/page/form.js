// A form made of a JSON Schema, as api/describe has it. It gives JSON as a text, so that no number
// loses digits on the way. What a schema says that no field can show is written as JSON.
import { el } from "./dom.js";

let ids = 0; // of fields: labels name them

// newForm returns {root, json()}: json throws an Error that says what is missing or wrong, and
// shows where.
export function newForm(schema, defs) {
  const made = editor(schema ?? {}, { defs, label: "", required: true });
  return { root: made.root, json: () => made.json() ?? "null" };
}

// editor makes the fields for a schema: {root, json()}. json returns undefined for what is left
// out.
function editor(schema, at) {
  const { of, nullable } = plain(schema, at.defs);
  if (of.enum) return choice(of, at, nullable);
  const type = [of.type].flat()[0];
  switch (type) {
    case "boolean":
      return choice({ enum: [false, true] }, at, nullable);
    case "integer":
    case "number":
      return entry(of, { ...at, nullable }, (text) => asNumber(text, type), { inputMode: type === "integer" ? "numeric" : "decimal" });
    case "string":
      return entry(of, { ...at, nullable, text: true }, (text) => JSON.stringify(text), {});
    case "object":
      if (of.properties) return optional(of, at, nullable, () => object(of, at));
      return optional(of, at, nullable, () => (of.additionalProperties ? list(of, at, pair) : object(of, at)));
    case "array":
      return optional(of, at, nullable, () => list(of, at, item));
  }
  return free(of, at);
}

// plain follows references, and takes null out of the types.
function plain(schema, defs) {
  let nullable = false;
  let of = schema;
  for (let steps = 0; steps < 20; steps++) {
    if (of.$ref) of = defs[of.$ref.replace("#/$defs/", "")] ?? {};
    else if (of.anyOf) {
      nullable ||= of.anyOf.some(({ type }) => type === "null");
      of = of.anyOf.find(({ type }) => type !== "null") ?? {};
    } else break;
  }
  if (Array.isArray(of.type)) {
    nullable ||= of.type.includes("null");
    of = { ...of, type: of.type.filter((type) => type !== "null") };
  }
  return { of, nullable };
}

const hintOf = (of) => [of.description, of.format, of.contentEncoding, of.minimum !== undefined && of.maximum !== undefined && `${of.minimum} to ${of.maximum}`].filter(Boolean).join(", ");

// field puts a label and a place for what is wrong around an input.
function field(label, input, of, required) {
  input.id = `field-${++ids}`;
  const problem = el("p", { class: "field-error", id: `${input.id}-problem` });
  const hint = hintOf(of);
  input.setAttribute("aria-describedby", problem.id);
  const root = el("div", { class: "field" },
    el("label", { for: input.id }, label || "Value", required ? "" : el("span", { class: "quiet" }, " (may be left out)"), hint ? el("span", { class: "quiet" }, ` ${hint}`) : ""),
    input, problem);
  const check = (read) => {
    try {
      const value = read();
      problem.textContent = "";
      input.removeAttribute("aria-invalid");
      return value;
    } catch (err) {
      problem.textContent = err.message;
      input.setAttribute("aria-invalid", "true");
      input.focus();
      throw new Error(`${label || "The value"}: ${err.message}`, { cause: err });
    }
  };
  return { root, check };
}

function asNumber(text, type) {
  const ok = type === "integer" ? /^-?\d+$/ : /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;
  if (!ok.test(text.trim())) throw new Error(type === "integer" ? "a whole number is needed" : "a number is needed");
  return text.trim().replace(/^(-?)0+(?=\d)/, "$1");
}

function entry(of, { label, required, nullable, text }, read, props) {
  const input = el("input", { autocomplete: "off", spellcheck: false, ...props });
  const { root, check } = field(label, input, of, required);
  const json = () => check(() => {
    if (input.value === "" && !(text && required)) {
      if (!required) return undefined;
      if (nullable) return "null";
      throw new Error("a number is needed");
    }
    const value = read(input.value);
    if (of.minimum !== undefined && Number(value) < of.minimum) throw new Error(`at least ${of.minimum}`);
    if (of.maximum !== undefined && Number(value) > of.maximum) throw new Error(`at most ${of.maximum}`);
    return value;
  });
  return { root, json };
}

function choice(of, { label, required }, nullable) {
  const none = !required ? "(left out)" : nullable ? "null" : undefined;
  const select = el("select", {}, ...(none ? [el("option", { value: "" }, none)] : []), ...of.enum.map((value, i) => el("option", { value: `${i}` }, String(value))));
  const { root } = field(label, select, of, required);
  return { root, json: () => (select.value === "" ? (required ? "null" : undefined) : JSON.stringify(of.enum[Number(select.value)])) };
}

// free is any JSON.
function free(of, { label, required }) {
  const area = el("textarea", { rows: 3, autocomplete: "off", spellcheck: false, placeholder: "JSON" });
  const { root, check } = field(label, area, of, required);
  return { root, json: () => check(() => (area.value.trim() === "" ? (required ? "null" : undefined) : asJSON(area.value))) };
}

// asJSON checks a text and leaves its numbers as they are.
export function asJSON(text) {
  try {
    JSON.parse(text);
  } catch (err) {
    throw new Error(`no JSON: ${err.message}`, { cause: err });
  }
  return text;
}

// optional has a box for what may be left out or null; what is in it is made when it is needed,
// since a type may hold itself.
function optional(of, at, nullable, make) {
  if (at.required && !nullable) return make();
  const box = el("input", { type: "checkbox", class: "check" });
  const root = el("div", { class: "part" }, el("label", { class: "checked" }, box, at.label || "Value", el("span", { class: "quiet" }, at.required ? " (else null)" : " (may be left out)")));
  let made;
  box.addEventListener("change", () => {
    if (box.checked) {
      made = make();
      root.append(made.root);
    } else {
      made.root.remove();
      made = undefined;
    }
  });
  return { root, json: () => (made ? made.json() : at.required ? "null" : undefined) };
}

function object(of, at) {
  const parts = (of.properties ? Object.entries(of.properties) : []).map(([name, schema]) => ({
    name, made: editor(schema, { defs: at.defs, label: name, required: (of.required ?? []).includes(name) }),
  }));
  const inside = parts.length ? parts.map(({ made }) => made.root) : [el("p", { class: "quiet" }, "It has no fields.")];
  const root = at.label === "" ? el("div", { class: "fields" }, ...inside) : el("fieldset", { class: "fields" }, el("legend", {}, at.label), ...inside);
  const json = () => {
    const all = parts.map(({ name, made }) => [name, made.json()]).filter(([, value]) => value !== undefined);
    return `{${all.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`;
  };
  return { root, json };
}

const item = {
  make: (of, at, n) => editor(of.items ?? {}, { defs: at.defs, label: `${at.label || "Item"} ${n}`, required: true }),
  json: (values) => `[${values.join(",")}]`,
};

const pair = {
  make: (of, at, n) => {
    const key = entry({}, { label: `Key ${n}`, required: true, text: true }, (text) => JSON.stringify(text), {});
    const value = editor(of.additionalProperties, { defs: at.defs, label: `Value ${n}`, required: true });
    return { root: el("div", { class: "fields" }, key.root, value.root), json: () => `${key.json()}:${value.json()}` };
  },
  json: (values) => `{${values.join(",")}}`,
};

// list has any number of items, or as many as the schema says.
function list(of, at, kind) {
  const items = [];
  const [min, max] = [of.minItems ?? 0, of.maxItems ?? 1000];
  const rows = el("div", { class: "fields" });
  const add = el("button", { type: "button", class: "small" }, "Add");
  const root = el("fieldset", { class: "fields" }, el("legend", {}, at.label || "Items"), rows, add);
  const more = () => {
    const made = kind.make(of, at, items.length + 1);
    items.push(made);
    const row = el("div", { class: "item" }, made.root);
    if (items.length > min) {
      const remove = el("button", { type: "button", class: "small", "aria-label": `Remove ${at.label || "item"} ${items.length}` }, "Remove");
      remove.addEventListener("click", () => {
        items.splice(items.indexOf(made), 1);
        row.remove();
        add.hidden = false;
        add.focus();
      });
      row.append(remove);
    }
    rows.append(row);
    add.hidden = items.length >= max;
    return row;
  };
  for (let n = 0; n < min; n++) more();
  add.hidden = items.length >= max;
  add.addEventListener("click", () => more().querySelector("input, select, textarea, button")?.focus());
  return { root, json: () => kind.json(items.map((made) => made.json())) };
}
