// Forms: fields are cleared by their X and shown by their eye, rows are added and taken away, a form is sent once, and
// leaving one that was changed asks first.
let told = false;

export function helpForms(root) {
  for (const list of root.querySelectorAll("[data-rows]")) arrangeRows(list);
  for (const input of root.querySelectorAll(".control > input:not([placeholder])")) input.placeholder = " "; // the X hides while it shows
  for (const form of root.querySelectorAll("form[data-keeps]")) watch(form);
  root.querySelector("[data-focus]")?.focus();
  if (told) return;
  told = true;
  document.addEventListener("click", onClick);
  document.addEventListener("submit", sendOnce);
  addEventListener("beforeunload", warn);
  addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });
  for (const notice of document.querySelectorAll("[data-fades]")) setTimeout(() => notice.querySelector("form") || notice.remove(), 6000);
}

function onClick(event) {
  const clear = event.target.closest("[data-clear]");
  if (clear) return empty(document.getElementById(clear.dataset.clear));
  const reveal = event.target.closest("[data-reveal]");
  if (reveal) return show(reveal, document.getElementById(reveal.dataset.reveal));
  event.target.closest("[data-dismiss]")?.closest(".notice")?.remove();
}

function empty(input) {
  input.value = "";
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.dispatchEvent(new Event("change", { bubbles: true }));
  input.focus();
}

function show(button, input) {
  const visible = input.type === "password";
  input.type = visible ? "text" : "password";
  button.setAttribute("aria-pressed", String(visible));
}

function arrangeRows(list) {
  if (list.dataset.arranged) return;
  list.dataset.arranged = "yes";
  const rows = list.querySelector("[data-rows-list]");
  list.querySelector("[data-rows-add]").addEventListener("click", () => {
    rows.append(list.querySelector("template").content.cloneNode(true));
    rows.lastElementChild.querySelector("input, select")?.focus();
    list.dispatchEvent(new Event("input", { bubbles: true }));
  });
  list.addEventListener("click", (event) => {
    const remove = event.target.closest("[data-row-remove]");
    if (!remove) return;
    const row = remove.closest("[data-row]");
    (row.nextElementSibling?.querySelector("input, select") ?? list.querySelector("[data-rows-add]")).focus();
    row.remove();
    list.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

function sendOnce(event) {
  const form = event.target;
  if (event.defaultPrevented || form.method === "dialog" || form.hasAttribute("hx-post") || form.hasAttribute("hx-get")) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  delete form.dataset.changed;
}

function watch(form) {
  if (form.dataset.watched) return;
  form.dataset.watched = "yes";
  form.addEventListener("input", () => { form.dataset.changed = "yes"; });
}

function warn(event) {
  if (document.querySelector("form[data-keeps][data-changed]")) event.preventDefault();
}
