// The histogram: dragging over it chooses a span of time, and so do the arrow keys with Shift; a bar alone is a plain link.
const picture = document.querySelector("[data-histogram]");
let from = null;
let moved = false;

if (picture) {
  const bars = [...picture.querySelectorAll("a[data-bar]")];
  const span = picture.querySelector(".histogram-span");
  if (bars.length) bars[bars.length - 1].setAttribute("tabindex", "0");

  const barAt = (event) => {
    const box = picture.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return Math.max(0, Math.min(bars.length - 1, Math.floor(share * bars.length)));
  };
  const mark = (a, b) => {
    const width = picture.viewBox.baseVal.width / bars.length;
    span.setAttribute("x", Math.min(a, b) * width);
    span.setAttribute("width", (Math.abs(a - b) + 1) * width);
    span.removeAttribute("hidden");
  };
  const clear = () => span.setAttribute("hidden", "");
  const go = (a, b) => {
    const start = Number(new Date(picture.dataset.start)) + Math.min(a, b) * Number(picture.dataset.step);
    const end = Number(new Date(picture.dataset.start)) + (Math.max(a, b) + 1) * Number(picture.dataset.step);
    const query = new URLSearchParams(location.search);
    for (const name of ["last", "cursor"]) query.delete(name);
    query.set("from", new Date(start).toISOString());
    query.set("until", new Date(end).toISOString());
    location.assign(`${location.pathname}?${query}`);
  };

  picture.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = barAt(event);
    moved = false;
  });
  picture.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const at = barAt(event);
    if (at !== from) {
      moved = true;
      picture.setPointerCapture(event.pointerId);
    }
    if (moved) mark(from, at);
  });
  picture.addEventListener("pointerup", (event) => {
    if (from !== null && moved) go(from, barAt(event));
    from = null;
  });
  picture.addEventListener("pointercancel", () => { from = null; clear(); });
  picture.addEventListener("dragstart", (event) => event.preventDefault());
  picture.addEventListener("click", (event) => { if (moved) event.preventDefault(); }, true);

  // one stop for the Tab key; arrows go from bar to bar, with Shift they choose a span, which Enter opens
  let held = null;
  picture.addEventListener("keydown", (event) => {
    const at = bars.indexOf(document.activeElement);
    if (at < 0) return;
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: bars.length - 1 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      const to = Math.max(0, Math.min(bars.length - 1, next));
      if (event.shiftKey) {
        held ??= at;
        mark(held, to);
      } else {
        held = null;
        clear();
      }
      bars[at].setAttribute("tabindex", "-1");
      bars[to].setAttribute("tabindex", "0");
      bars[to].focus();
    } else if (event.key === "Enter" && held !== null && held !== at) {
      event.preventDefault();
      go(held, at);
    } else if (event.key === "Escape" && held !== null) {
      held = null;
      clear();
    }
  });
}
