// What somebody has unfolded stays unfolded when news replace a part of the page: the server knows nothing of it, and the
// morph would take the attribute away.
export function keepFolds() {
  globalThis.htmx?.registerExtension("keep-folds", {
    htmx_before_morph_attr: (element, change) => !(element instanceof HTMLDetailsElement && change.attrName === "open"),
  });
}
