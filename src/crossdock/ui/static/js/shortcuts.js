// Keys: `/` searches, `g` and a letter goes to a list, `?` tells the keys. Never while something is typed.
const places = { o: "", i: "/integrations", e: "/events", n: "/notification-webhooks", c: "/connections", s: "/settings" };
let before = "";

export function takeShortcuts() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.composedPath()[0])) return;
    const key = event.key;
    if (before === "g" && key in places) go(places[key]);
    else if (key === "/") search(event);
    else if (key === "?") help();
    before = key;
  });
}

export const isTyping = (element) => element instanceof Element && element.matches("input, textarea, select, [contenteditable], dialog *, .cm-content");

function go(path) {
  const workspace = location.pathname.match(/^\/w\/[^/]+/);
  if (workspace) location.assign(workspace[0] + path);
}

function search(event) {
  const field = document.querySelector('input[type="search"]');
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
}

const keys = [["/", "Search this list"], ["g o", "Overview"], ["g i", "Integrations"], ["g e", "Events"], ["g n", "Notification webhooks"], ["g c", "Connections"], ["g s", "Settings"], ["?", "These keys"], ["Esc", "Close"]];

function help() {
  if (document.querySelector("dialog[open]")) return;
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", "Keys");
  const list = document.createElement("dl");
  list.className = "facts";
  for (const [key, words] of keys) {
    const term = document.createElement("dt");
    term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    list.append(term, Object.assign(document.createElement("dd"), { textContent: words }));
  }
  const form = Object.assign(document.createElement("form"), { method: "dialog" });
  form.append(Object.assign(document.createElement("h2"), { textContent: "Keys" }), list);
  form.append(Object.assign(document.createElement("button"), { className: "button", textContent: "Close" }));
  dialog.append(form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
