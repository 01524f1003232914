// Text areas with data-editor become editors of that language; the large module is loaded only where there is one.
export async function fillEditors(root) {
  const areas = [...root.querySelectorAll("textarea[data-editor]:not([data-edited])")];
  if (!areas.length) return;
  for (const area of areas) area.dataset.edited = "yes";
  const { mount } = await import("../vendor/codemirror.js");
  for (const area of areas) {
    mount(area, { language: area.dataset.editor });
    area.dispatchEvent(new CustomEvent("editor", { bubbles: true }));
  }
}
