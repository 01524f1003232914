// The form of an integration: authentication is added by a button, keys by a dialog, another type is chosen at once.
const form = document.getElementById("integration-form");
const dialog = document.getElementById("new-key");

if (form) {
  document.querySelector("[data-add-authentication]")?.addEventListener("click", addAuthentication);
  form.querySelector("[data-changes-type]")?.addEventListener("change", changeType);
  arrangeKeys(form.querySelector("[data-keys]"));
}

// what made the keys is not to be sent again when the page is read anew
const onward = document.querySelector("[data-onward]");
if (onward) history.replaceState(null, "", onward.dataset.onward);

function addAuthentication() {
  const place = form.querySelector("[data-authentication]");
  place.dataset.open = "";
  const choice = place.querySelector("select");
  choice.focus();
  try {
    choice.showPicker();
  } catch { /* a browser that can't open it by script: it has the focus */ }
}

function changeType() {
  delete form.dataset.changed;
  form.requestSubmit(document.getElementById("change-type"));
}

function arrangeKeys(place) {
  const rows = place.querySelector("[data-rows-list]");
  const label = dialog.querySelector("#new-key-label");
  const text = dialog.querySelector("#new-key-text");
  const wrong = dialog.querySelector("#new-key-error");
  place.querySelector("[data-new-key]").addEventListener("click", () => {
    label.value = text.value = "";
    wrong.hidden = true;
    dialog.showModal();
    label.focus();
  });
  place.addEventListener("click", (event) => {
    const remove = event.target.closest("[data-row-remove]");
    if (!remove) return;
    remove.closest("[data-row]").remove();
    place.querySelector("[data-new-key]").focus();
    place.dispatchEvent(new Event("input", { bubbles: true }));
  });
  dialog.querySelector("[data-generate]").addEventListener("click", () => {
    text.value = generate();
    text.focus();
    text.select();
  });
  const add = () => {
    const problem = wrongWith(label.value.trim(), text.value.trim());
    wrong.textContent = problem;
    wrong.hidden = !problem;
    if (problem) return;
    const row = place.querySelector("template").content.cloneNode(true);
    row.querySelector('[name="new_keys.label"]').value = label.value.trim();
    row.querySelector('[name="new_keys.key"]').value = text.value.trim();
    rows.append(row);
    dialog.close();
    place.dispatchEvent(new Event("input", { bubbles: true }));
    place.querySelector("[data-new-key]").focus();
  };
  dialog.querySelector("[data-add-key]").addEventListener("click", add);
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("input")) return;
    event.preventDefault();
    add();
  });
}

function wrongWith(label, key) {
  if (!label) return "Give the key a label.";
  if (key && (key.length < 16 || key.length > 256)) return "A key has 16 to 256 characters.";
  return key && !/^[!-~]+$/.test(key) ? "A key has visible ASCII characters only, without spaces." : "";
}

// 32 random bytes, as the server makes them
function generate() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return `xdk_${btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}
