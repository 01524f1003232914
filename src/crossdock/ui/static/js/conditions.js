// Parts of a form that matter only for some choice: data-when="name=value|other" shows them while the field of that name has
// one of these values (a switch is "on" or ""). What is hidden is not sent. Without scripts everything is shown.
export function showWhatMatters(root) {
  for (const form of root.querySelectorAll("form:has([data-when])")) {
    if (form.dataset.conditions) continue;
    form.dataset.conditions = "yes";
    form.addEventListener("change", () => apply(form));
    apply(form);
  }
}

function apply(form) {
  for (const part of form.querySelectorAll("[data-when]")) {
    const [name, values] = part.dataset.when.split("=");
    const shown = values.split("|").includes(present(form, name));
    part.hidden = !shown;
    for (const field of part.querySelectorAll("input, select, textarea")) field.disabled = !shown;
  }
}

function present(form, name) {
  const field = form.elements.namedItem(name);
  if (field instanceof HTMLInputElement && field.type === "checkbox") return field.checked ? "on" : "";
  return field?.value ?? "";
}
