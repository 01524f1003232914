// Completion of expressions from the names that an event really has: in editors by CodeMirror, in lines of text by a list
// below the field (the combobox pattern of ARIA).
const FILTERS = ["abs", "capitalize", "default", "dictsort", "first", "float", "fromjson", "groupby", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "replace", "reverse", "round", "select", "selectattr", "sort", "split", "string", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode"];
const MOST = 40;

export function completeExpressions(form) {
  const known = { list: [] };
  const complete = ({ before, position }) => {
    const found = suggest(known.list, before, false);
    if (!found) return null;
    const options = found.options.map(({ path, kind, sample }) => ({ label: path, detail: sample ? `${kind}: ${sample}` : kind, type: "variable" }));
    return { from: position - found.typed.length, options };
  };
  const equip = async (area) => {
    if (!area.matches("textarea[data-expressions]") || area.dataset.completed) return;
    area.dataset.completed = "yes";
    const { mount } = await import("../vendor/codemirror.js");
    mount(area, { language: area.dataset.editor, complete });
  };
  form.addEventListener("editor", (event) => equip(event.target));
  for (const area of form.querySelectorAll("code-editor textarea[data-expressions]")) equip(area);
  for (const input of form.querySelectorAll("input[data-expressions]")) listOf(input);
  form.addEventListener("input", (event) => {
    if (event.target.matches("input[data-expressions]")) offer(event.target, known);
  });
  form.addEventListener("focusout", (event) => event.target.matches("input[data-expressions]") && close(event.target));
  form.addEventListener("keydown", onKey);
  return { set: (list) => { known.list = list; } };
}

// What may stand where the text ends: names inside of `{{ ... }}`, filters behind a bar. In a condition all of it is code.
function suggest(names, before, isCode) {
  const open = Math.max(before.lastIndexOf("{{"), before.lastIndexOf("{%"));
  const isInside = open >= 0 && before.indexOf("}", open) < 0;
  if (!isInside && !(isCode && open < 0)) return null;
  const code = isInside ? before.slice(open + 2) : before;
  const filter = code.match(/\|\s*(\w*)$/);
  if (filter) return { typed: filter[1], options: FILTERS.filter((name) => name.startsWith(filter[1])).map((path) => ({ path, kind: "filter", sample: "" })) };
  const typed = code.match(/[A-Za-z_][\w.]*(?:\[[^\]]*\]?[\w.]*)*$/)?.[0] ?? "";
  if (!typed && /['"]\w*$/.test(code)) return null;
  const options = names.filter(({ path }) => path.startsWith(typed) && path !== typed);
  return { typed, options: options.slice(0, 400) };
}

let count = 0;

function offer(input, known) {
  const found = suggest(known.list, input.value.slice(0, input.selectionStart), "condition" in input.dataset);
  if (!found || !found.options.length) return close(input);
  const list = listOf(input);
  list.replaceChildren(...found.options.slice(0, MOST).map((option, number) => {
    const item = document.createElement("li");
    item.id = `${list.id}-${number}`;
    item.role = "option";
    item.dataset.path = option.path;
    item.append(Object.assign(document.createElement("span"), { className: "mono", textContent: option.path }));
    item.append(Object.assign(document.createElement("span"), { className: "faint cut", textContent: option.sample || option.kind }));
    item.addEventListener("mousedown", (event) => {
      event.preventDefault();
      take(input, item);
    });
    return item;
  }));
  list.dataset.typed = String(found.typed.length);
  list.hidden = false;
  input.setAttribute("aria-expanded", "true");
  point(input, 0);
}

function listOf(input) {
  const known = input.getAttribute("aria-controls");
  if (known) return document.getElementById(known);
  const list = Object.assign(document.createElement("ul"), { className: "suggestions", id: `suggestions-${count++}`, hidden: true });
  list.role = "listbox";
  list.setAttribute("aria-label", "Names to choose from");
  input.closest(".control, .cell").append(list);
  input.role = "combobox";
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-expanded", "false");
  input.setAttribute("aria-controls", list.id);
  return list;
}

function point(input, number) {
  const list = listOf(input);
  const items = [...list.children];
  const chosen = items[(number + items.length) % items.length];
  for (const item of items) item.setAttribute("aria-selected", String(item === chosen));
  input.setAttribute("aria-activedescendant", chosen.id);
  chosen.scrollIntoView({ block: "nearest" });
}

function onKey(event) {
  const input = event.target;
  if (!input.matches?.("input[data-expressions]") || input.getAttribute("aria-expanded") !== "true") return;
  const list = listOf(input);
  const now = [...list.children].findIndex((item) => item.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown") point(input, now + 1);
  else if (event.key === "ArrowUp") point(input, now - 1);
  else if (event.key === "Enter") take(input, list.children[now]);
  else if (event.key === "Escape") close(input);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function take(input, item) {
  const end = input.selectionStart;
  const begin = end - Number(listOf(input).dataset.typed);
  input.setRangeText(item.dataset.path, begin, end, "end");
  close(input);
  input.dispatchEvent(new Event("change", { bubbles: true }));
  input.form.dispatchEvent(new Event("input"));
}

function close(input) {
  if (input.getAttribute("aria-expanded") !== "true") return;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
  listOf(input).hidden = true;
}
