// Buttons that copy a text: [data-copy] holds it, or [data-copy-from] names the element that shows it.
export function copyTexts() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    const source = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
    const done = await copy(source ? (source.value ?? source.textContent) : button.dataset.copy);
    announce(done ? "Copied" : "Copying is not allowed here; select the text instead");
    if (done) {
      button.dataset.state = "done";
      setTimeout(() => delete button.dataset.state, 1200);
    }
  });
}

async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { /* refused by the browser: the older way may still be allowed */ }
  }
  const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true, className: "visually-hidden" });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy"); // where there is no clipboard without HTTPS
  area.remove();
  return done;
}

// A short message that goes away by itself, read out by screen readers.
export function announce(text, tone = "good") {
  const notices = document.getElementById("notices") ?? document.body.appendChild(Object.assign(document.createElement("div"), { id: "notices", className: "notices", role: "status" }));
  const notice = Object.assign(document.createElement("div"), { className: "notice" });
  notice.dataset.tone = tone;
  notice.append(Object.assign(document.createElement("p"), { textContent: text }));
  notices.append(notice);
  setTimeout(() => notice.remove(), 3500);
}
