// The choice between light, dark and the system's theme, kept in this browser.
export function chooseTheme(root) {
  for (const button of root.querySelectorAll("[data-theme-choice]")) {
    if (button.dataset.arranged) continue;
    button.dataset.arranged = "yes";
    button.addEventListener("click", () => choose(button.dataset.themeChoice));
  }
  mark();
}

function choose(name) {
  if (name === "system") {
    localStorage.removeItem("theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("theme", name);
    document.documentElement.dataset.theme = name;
  }
  mark();
  document.dispatchEvent(new CustomEvent("theme"));
}

function mark() {
  const chosen = localStorage.getItem("theme") ?? "system";
  for (const button of document.querySelectorAll("[data-theme-choice]")) button.setAttribute("aria-pressed", String(button.dataset.themeChoice === chosen));
}
