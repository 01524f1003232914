// Deeds that destroy ask first: a form with data-confirm opens a dialog of the page. Without scripts the server's
// own undo or refusal is what protects.
export function confirmDeeds() {
  document.addEventListener("submit", ask, true);
}

function ask(event) {
  const form = event.target;
  const text = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (!text || form.dataset.confirmed) {
    delete form.dataset.confirmed;
    return;
  }
  event.preventDefault();
  event.stopImmediatePropagation();
  const dialog = build(text, form.dataset.confirmButton ?? "Go on");
  dialog.addEventListener("close", () => {
    const agreed = dialog.returnValue === "yes";
    dialog.remove();
    if (!agreed) return;
    form.dataset.confirmed = "yes";
    form.requestSubmit(event.submitter ?? undefined);
  });
  dialog.showModal();
}

function build(text, words) {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "confirm-text");
  const form = Object.assign(document.createElement("form"), { method: "dialog" });
  form.append(Object.assign(document.createElement("h2"), { id: "confirm-text", textContent: text }));
  const yes = Object.assign(document.createElement("button"), { className: "button danger", value: "yes", textContent: words });
  const foot = Object.assign(document.createElement("div"), { className: "dialog-foot" });
  const no = Object.assign(document.createElement("button"), { className: "button", value: "no", textContent: "Cancel", autofocus: true });
  foot.append(no, yes);
  form.append(foot);
  dialog.append(form);
  document.body.append(dialog);
  return dialog;
}
