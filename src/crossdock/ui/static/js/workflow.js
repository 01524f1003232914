// The workflow editor: steps move by Alt and the arrow keys, the palette is searched, and the form of a step shows what
// its expressions give while they are written. Everything works without this, by plain links and forms.
import { completeExpressions } from "./expressions.js";
import { tryHere } from "./trying.js";

for (const each of document.querySelectorAll("[data-only-scripts]")) each.hidden = false;
for (const each of document.querySelectorAll("[data-no-scripts]")) each.hidden = true;

document.addEventListener("keydown", (event) => {
  if (!event.altKey || event.ctrlKey || event.metaKey || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
  if (event.composedPath()[0].matches?.("input, textarea, select, .cm-content")) return;
  const card = event.target.closest?.("[data-step]");
  if (!card) return;
  event.preventDefault();
  const button = card.querySelector(`:scope > .step-head [data-deed="move-${event.key === "ArrowUp" ? "up" : "down"}"]`);
  if (button && !button.disabled) button.form.requestSubmit(button);
});

for (const field of document.querySelectorAll("[data-filters]")) {
  const list = document.getElementById(field.dataset.filters);
  const none = list.querySelector("[data-filter-empty]");
  field.addEventListener("input", () => {
    const words = field.value.trim().toLowerCase().split(/\s+/);
    let shown = 0;
    for (const item of list.querySelectorAll("[data-words]")) {
      item.hidden = !words.every((word) => item.dataset.words.includes(word));
      shown += !item.hidden;
    }
    none.hidden = shown > 0;
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    list.querySelector("[data-words]:not([hidden]) button")?.click();
  });
}

// An address with a fragment takes the focus away when the page has come; then it goes where one goes on.
function goOn() {
  const here = document.activeElement;
  if (here && here !== document.body && !here.matches("[data-step]")) return;
  (document.querySelector("[data-focus]") ?? document.querySelector("[data-filters]"))?.focus();
}
if (document.readyState === "complete") goOn();
else addEventListener("load", () => requestAnimationFrame(goOn));

tryHere();

const form = document.querySelector("form[data-step-form]");
if (form) lookAhead(form);

function lookAhead(form) {
  const names = completeExpressions(form);
  const choice = form.elements.event;
  if (choice && !choice.value && choice.options.length > 1) choice.selectedIndex = 1;
  if (!choice) return;
  let waiting = 0;
  let asked = null;
  const ask = async () => {
    asked?.abort();
    asked = new AbortController();
    if (!choice.value) return show(form, {});
    try {
      const body = new URLSearchParams(new FormData(form));
      const answer = await fetch(form.dataset.preview, { method: "POST", body, signal: asked.signal });
      if (!answer.ok || !answer.headers.get("content-type")?.includes("json")) return;
      const told = await answer.json();
      show(form, told.fields);
      names.set(told.names);
    } catch (error) {
      if (error.name !== "AbortError") show(form, {}); // away for the moment: the next letter asks again
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, 350);
  });
  ask();
}

function show(form, fields) {
  for (const place of form.querySelectorAll("[data-preview-of]")) {
    const told = fields[place.dataset.previewOf];
    place.hidden = !told;
    if (!told) continue;
    place.dataset.tone = told.tone;
    if (place.textContent !== told.text) place.textContent = told.text;
  }
}
