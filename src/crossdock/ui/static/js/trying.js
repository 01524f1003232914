// The test drawer: opened beside the editor, and filled with what the server answers. Without this the same is a page.
const PART = { "HX-Request": "true", "HX-Request-Type": "partial" };

export function tryHere() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-assume]");
    if (button) assume(button.dataset.assume);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-opens]");
    const drawer = link && document.getElementById(link.dataset.opens);
    if (!drawer || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    drawer.showModal();
    put(fetch(link.href, { headers: PART }));
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.id !== "test-form") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    const body = new URLSearchParams(new FormData(form, event.submitter));
    put(fetch(form.action, { method: "POST", body, headers: PART })).finally(() => { form.ariaBusy = "false"; });
  }, true);
}

// A line for the step's output, to be filled in, and the cursor behind it.
function assume(path) {
  const area = document.getElementById("test-recorded");
  area.closest("details").open = true;
  const line = `${/^[\w.]+$/.test(path) ? path : JSON.stringify(path)}: {}`;
  if (!area.value.includes(line.slice(0, -2))) area.value += (area.value && !area.value.endsWith("\n") ? "\n" : "") + line;
  area.dispatchEvent(new Event("input", { bubbles: true }));
  (area.closest("code-editor") ?? area).focus();
  area.closest("details").scrollIntoView({ block: "center" });
}

async function put(asked) {
  const place = document.getElementById("test");
  let text;
  try {
    const answer = await asked;
    const elsewhere = answer.headers.get("hx-redirect");
    if (elsewhere) return location.assign(elsewhere);
    if (answer.status !== 401 || !place.querySelector("form")) text = await answer.text();
  } catch { /* told below */ }
  const made = new DOMParser().parseFromString(text ?? "", "text/html");
  const part = made.getElementById("test") ?? refusal(made, place);
  place.replaceWith(part);
  for (const each of part.querySelectorAll("[data-only-scripts]")) each.hidden = false;
  document.dispatchEvent(new CustomEvent("htmx:after:swap"));
}

// What was typed stays, below what is said.
function refusal(made, place) {
  const notice = made.querySelector(".notice") ?? Object.assign(document.createElement("p"), { className: "notice", textContent: "The server could not be reached, or you are signed out by now. What you typed is still here: try again." });
  notice.role = "alert";
  place.prepend(notice);
  return place;
}
