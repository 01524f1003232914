// Where the focus is: its name, and whether it looks different from the same thing without the focus.
window.__stop = () => {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  if (!element || element === document.body || element === document.documentElement) return null;
  const around = [];
  for (let one = element; one && around.length < 5; one = one.parentElement ?? one.getRootNode().host) {
    if (one === document.body) break;
    around.push(one);
  }
  const look = () => around.flatMap((one) => [null, "::before", "::after"].map((part) => {
    const style = getComputedStyle(one, part);
    const outline = style.outlineStyle === "none" ? "" : `${style.outlineStyle} ${style.outlineWidth} ${style.outlineColor}`;
    return [outline, style.boxShadow, style.borderColor, style.backgroundColor, style.textDecoration, style.opacity].join();
  })).join("|");
  const focused = look();
  const box = element.getBoundingClientRect();
  const shown = box.width > 0 && box.height > 0 && box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight;
  element.blur();
  const visible = focused !== look();
  element.focus({ preventScroll: true });
  const labels = [...(element.labels ?? [])].map((label) => label.textContent);
  const named = (element.getAttribute("aria-labelledby") ?? "").split(/\s+/).filter(Boolean)
    .map((id) => element.getRootNode().getElementById(id)?.textContent);
  const pictures = [...element.querySelectorAll("img[alt], svg[aria-label], svg title")]
    .map((one) => one.getAttribute("alt") ?? one.getAttribute("aria-label") ?? one.textContent);
  const name = [element.getAttribute("aria-label"), ...named, ...labels, element.textContent, ...pictures, element.title, element.value]
    .map((text) => text?.trim().replace(/\s+/g, " ")).find(Boolean) ?? "";
  return { name: name.slice(0, 100), visible, shown, html: element.outerHTML.slice(0, 120) };
};
