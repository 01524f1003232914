// The list of events: how many new ones came (counts, so that a thousand a second are one number), rows by keyboard, the
// choice of rows, and times of the filter in the reader's own zone.
import { isTyping } from "./shortcuts.js";
import "./histogram.js";

const page = document.getElementById("events");
let came = 0;

function arrange() {
  came = 0;
  count();
}

// --- what is new ---

document.addEventListener("news", ({ detail }) => {
  const traffic = detail.traffic ?? {};
  const owner = page.dataset.owner;
  const counts = owner ? [traffic[owner]] : Object.values(traffic);
  const more = counts.reduce((sum, each) => sum + (each?.accepted ?? 0), 0);
  if (more) tell(more);
});

function tell(more) {
  const button = page.querySelector("[data-new-events]");
  if (!button) return;
  if (!came) page.querySelector("[data-new-said]").textContent = "New events have come.";
  came += more;
  button.querySelector("span").textContent = `${came.toLocaleString("en").replaceAll(",", "\u202f")} new ${came === 1 ? "event" : "events"}`;
  button.hidden = false;
}

// --- rows by keyboard: j and k go down and up, x chooses; Enter opens, as of any link ---

const links = () => [...page.querySelectorAll("tr[data-event] a.title")];

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const on = event.composedPath()[0];
  if (isTyping(on) && on.type !== "checkbox") return;
  const rows = links();
  const row = document.activeElement?.closest("tr[data-event]");
  const at = rows.findIndex((link) => link.closest("tr") === row);
  if (event.key === "j") rows[Math.min(at + 1, rows.length - 1)]?.focus();
  else if (event.key === "k") rows[Math.max(at - 1, 0)]?.focus();
  else if (event.key === "x" && row) row.querySelector('input[name="event_id"]')?.click();
});

// --- the choice ---

let last = null;

page.addEventListener("click", (event) => {
  const box = event.target.closest('input[name="event_id"]');
  if (!box) return;
  const boxes = all();
  if (event.shiftKey && boxes.includes(last)) {
    const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
    for (const each of boxes.slice(from, to + 1)) each.checked = box.checked;
  }
  last = box;
});
page.addEventListener("change", (event) => {
  if (event.target.matches("[data-choose-all]")) for (const box of all()) box.checked = event.target.checked;
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  count();
});

const all = () => [...page.querySelectorAll('input[name="event_id"]')];

function count() {
  const bar = page.querySelector("[data-chosen-bar]:has([data-choose-all])");
  if (!bar) return;
  const chosen = all().filter((box) => box.checked).length;
  const every = bar.querySelector("[data-choose-all]");
  every.checked = chosen > 0 && chosen === all().length;
  every.indeterminate = chosen > 0 && !every.checked;
  bar.querySelector("[data-chosen-count]").textContent = `${chosen} chosen`;
  for (const button of bar.querySelectorAll('button[name="deed"]')) button.disabled = chosen === 0;
}

// --- times in the reader's zone: the form sends them in UTC ---

for (const input of page.querySelectorAll("input[data-local]")) {
  const sent = Object.assign(document.createElement("input"), { type: "hidden", name: input.name, value: input.value && `${input.value}Z` });
  input.labels[0].textContent = input.dataset.local;
  input.after(sent);
  input.removeAttribute("name");
  if (input.value) {
    const at = new Date(sent.value);
    at.setMinutes(at.getMinutes() - at.getTimezoneOffset());
    input.value = at.toISOString().slice(0, 19);
  }
  input.addEventListener("change", () => { sent.value = input.value && new Date(input.value).toISOString().replace(".000Z", "Z"); });
}

// fields that are empty do not belong into the URL
page.querySelector("[data-filter]")?.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (value === "") formData.delete(name);
  if (formData.has("from") || formData.has("until")) formData.delete("last");
});

page.querySelector("[data-live-pause]")?.removeAttribute("hidden");
arrange();
document.addEventListener("htmx:after:swap", arrange);
