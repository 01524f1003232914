// The page of an event: a link to a step opens its panel; j and k go to the older and the newer event.
import { isTyping } from "./shortcuts.js";

function openTarget() {
  const panel = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (panel?.matches("details")) {
    panel.open = true;
    panel.querySelector("summary").focus({ preventScroll: true });
  }
}

addEventListener("hashchange", openTarget);
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#step-"]');
  if (link && link.hash === location.hash) openTarget();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.composedPath()[0])) return;
  document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`)?.click();
});
openTarget();
