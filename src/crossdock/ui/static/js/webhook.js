// The form of a notification webhook: the rendering follows what is written, a click on a field of the payload puts it into
// the template, and Enter in the expected values begins the next one.
const form = document.getElementById("webhook-form");
const frame = document.getElementById("rendering-frame");
let waiting = null;

function render() {
  clearTimeout(waiting);
  waiting = setTimeout(() => frame.dispatchEvent(new CustomEvent("preview")), 350);
}

form.addEventListener("input", (event) => {
  if (event.target.name === "body_template" || event.target.name?.startsWith("secrets.")) render();
});
document.getElementById("example").addEventListener("change", render);

document.getElementById("schema").addEventListener("click", (event) => {
  const button = event.target.closest("[data-insert]");
  if (!button) return;
  const area = form.elements.namedItem("body_template");
  const editor = area.closest("code-editor");
  if (editor) editor.insert(button.dataset.insert);
  else area.setRangeText(button.dataset.insert, area.selectionStart, area.selectionEnd, "end");
  render();
});

form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.target instanceof HTMLInputElement)) return;
  event.preventDefault(); // Enter saves nothing here: a half-written webhook would be told of changes
  if (event.target.name === "validators.values" && event.target.value.trim()) event.target.value = `${event.target.value.replace(/[,\s]+$/, "")}, `;
});
