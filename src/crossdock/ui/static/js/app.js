// What every page does beyond plain links and forms. Each module looks after one thing, and acts on what is in the page
// now and on what is put into it later.
import { showWhatMatters } from "./conditions.js";
import { confirmDeeds } from "./confirm.js";
import { copyTexts } from "./copying.js";
import { fillEditors } from "./editor.js";
import { keepFolds } from "./folds.js";
import { helpForms } from "./forms.js";
import { listen } from "./live.js";
import { openMenus } from "./menus.js";
import { takeShortcuts } from "./shortcuts.js";
import { chooseTheme } from "./themes.js";
import { tellTimes } from "./times.js";

const arranged = [fillEditors, helpForms, showWhatMatters, tellTimes, chooseTheme];

function arrange(root) {
  for (const each of arranged) each(root);
}

confirmDeeds();
copyTexts();
openMenus();
takeShortcuts();
keepFolds();
arrange(document);
listen();
// after a part of the page was replaced
document.addEventListener("htmx:after:swap", () => arrange(document));
document.addEventListener("htmx:config:request", (event) => {
  const token = document.querySelector('meta[name="page-token"]');
  if (token) event.detail.ctx.request.headers["X-Page-Token"] = token.content;
});
