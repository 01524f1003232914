/**
 * The editor for code: CodeMirror 6 around a plain textarea, bundled by scripts/vendor into one module.
 *
 * The textarea stays the form's field: it is in step with what is typed, sends `input` and `change` as if it had been
 * typed into, and is what people without scripts use. The editor lives in a shadow root, because only there CodeMirror
 * uses constructed style sheets, which a content security policy without 'unsafe-inline' allows.
 *
 *     <label for="template">Body Template</label>
 *     <code-editor language="json"><textarea id="template" name="body_template" rows="12"></textarea></code-editor>
 *
 * or, with completion and marks for problems:
 *
 *     import { mount } from "./codemirror.js";
 *     const editor = mount(textarea, { language: "yaml", complete, problems });
 *
 * The Tab key is left alone, so that it leads out of the editor; Ctrl-] and Ctrl-[ change the indentation.
 */

import { autocompletion, completionKeymap, startCompletion } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { yaml } from "@codemirror/lang-yaml";
import {
  HighlightStyle, bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit, syntaxHighlighting,
} from "@codemirror/language";
import { lintGutter, lintKeymap, linter } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState } from "@codemirror/state";
import {
  Decoration, EditorView, MatchDecorator, ViewPlugin, drawSelection, highlightActiveLine, highlightActiveLineGutter,
  highlightSpecialChars, keymap, lineNumbers, placeholder,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";

const LANGUAGES = { json, yaml, text: () => [] };

/**
 * Puts an editor around a textarea and returns it: `value`, `insert(text)`, `focus()`, `view` (CodeMirror's own).
 * Options:
 *   language  "json", "yaml" or "text"
 *   readOnly  also set by the textarea's `readonly` or `disabled`, at any time
 *   complete  ({text, position, before, explicit}) => {from, options: [{label, detail?, info?, type?, apply?}]} or null,
 *             or a promise of it; `before` is the line up to the cursor, `explicit` says that it was asked for by Ctrl-Space
 *   problems  text => [{from, to, message, severity?}] or [{line, column?, message}] (from 1), or a promise of it
 */
export function mount(textarea, options = {}) {
  let host = textarea.closest("code-editor");
  if (!host) {
    host = document.createElement("code-editor");
    host.options = options;
    textarea.replaceWith(host);
    host.append(textarea); // begins the editor, unless the textarea is not in the page yet
  } else {
    host.options = { ...host.options, ...options };
    host.end();
  }
  host.begin();
  return host;
}

class CodeEditor extends HTMLElement {
  options = {};
  view = null;
  #textarea = null;
  #labels = [];
  #wasRequired = false;
  #changed = false;
  #listening = null;
  #watching = null;
  #access = new Compartment();
  #attributes = new Compartment();

  connectedCallback() {
    // its children may not be parsed yet
    if (this.querySelector("textarea")) this.begin();
    else queueMicrotask(() => this.begin());
  }

  disconnectedCallback() {
    queueMicrotask(() => this.isConnected || this.end()); // moving it is no end
  }

  get value() {
    return this.view ? this.view.state.doc.toString() : this.#textarea.value;
  }

  set value(text) {
    if (text !== this.value) this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text } });
  }

  insert(text) {
    this.view.dispatch(this.view.state.replaceSelection(text));
    this.view.focus();
  }

  focus() {
    this.view?.focus();
  }

  begin() {
    const textarea = this.querySelector("textarea");
    if (this.view || !textarea || !this.isConnected) return;
    this.#textarea = textarea;
    const height = textarea.offsetHeight;
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" }); // hides the textarea: it has no slot
    const frame = document.createElement("div");
    frame.className = "frame";
    frame.style.height = height ? `${height}px` : `${textarea.rows * 1.5 + 1}em`; // the page doesn't jump
    root.adoptedStyleSheets = [FRAME];
    root.replaceChildren(frame);
    this.#takeLabels();
    const state = EditorState.create({ doc: textarea.value, extensions: this.#extensions() });
    this.view = new EditorView({ state, parent: frame, root });
    this.#listen();
  }

  end() {
    if (!this.view) return;
    this.#listening.abort();
    this.#watching.disconnect();
    this.view.destroy();
    this.view = null;
    this.shadowRoot.replaceChildren();
    this.#textarea.required = this.#wasRequired;
    for (const { label, target } of this.#labels) {
      if (target === null) label.removeAttribute("for");
      else label.setAttribute("for", target);
    }
  }

  // The editor bears the name alone. A hidden field that is required could not be sent and would not say why.
  #takeLabels() {
    this.#labels = [...this.#textarea.labels].map((label) => ({ label, target: label.getAttribute("for") }));
    for (const { label } of this.#labels) label.setAttribute("for", "");
    this.#wasRequired = this.#textarea.required;
    this.#textarea.required = false;
  }

  #extensions() {
    const { language = this.getAttribute("language") ?? "text", complete, problems } = this.options;
    return [
      lineNumbers(), foldGutter(), highlightActiveLineGutter(), highlightActiveLine(), highlightSpecialChars(),
      history(), drawSelection(), indentOnInput(), indentUnit.of("  "), bracketMatching(), search({ top: true }),
      highlightSelectionMatches(), EditorView.lineWrapping, LOOK, syntaxHighlighting(COLOURS), expressions,
      (LANGUAGES[language] ?? LANGUAGES.text)(),
      this.#textarea.placeholder ? placeholder(this.#textarea.placeholder) : [],
      complete ? [autocompletion({ override: [completions(complete)], activateOnTyping: true }), afterBraces] : [],
      problems ? [linter(diagnostics(problems)), lintGutter()] : [],
      keymap.of([...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap]),
      EditorView.updateListener.of((update) => update.docChanged && this.#tellTextarea()),
      EditorView.domEventHandlers({ blur: () => this.#tellChange() }),
      this.#access.of(this.#accessNow()),
      this.#attributes.of(this.#attributesNow()),
    ];
  }

  #accessNow() {
    const closed = this.options.readOnly || this.#textarea.readOnly || this.#textarea.disabled;
    return EditorState.readOnly.of(Boolean(closed));
  }

  // What stands beside the textarea can't be pointed to from inside the shadow root, so its text is taken.
  #attributesNow() {
    const textarea = this.#textarea;
    const attributes = { "aria-label": this.#name(), tabindex: "0" };
    const described = (textarea.getAttribute("aria-describedby") ?? "").split(/\s+/).filter(Boolean)
      .map((id) => document.getElementById(id)?.textContent.trim()).filter(Boolean).join(" ");
    if (described) attributes["aria-description"] = described;
    if (textarea.hasAttribute("aria-invalid")) attributes["aria-invalid"] = textarea.getAttribute("aria-invalid");
    if (this.#wasRequired) attributes["aria-required"] = "true";
    return EditorView.contentAttributes.of(attributes);
  }

  #name() {
    const labelled = (this.#textarea.getAttribute("aria-labelledby") ?? "").split(/\s+/).filter(Boolean)
      .map((id) => document.getElementById(id)?.textContent.trim());
    const labels = this.#labels.map(({ label }) => textOf(label));
    return this.#textarea.getAttribute("aria-label") || [...labelled, ...labels].filter(Boolean).join(" ") || "Code";
  }

  #listen() {
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    const follow = () => this.view && (this.value = this.#textarea.value);
    this.#textarea.addEventListener("input", follow, { signal });
    this.#textarea.form?.addEventListener("reset", () => setTimeout(follow), { signal }); // it comes before
    addEventListener("pageshow", follow, { signal }); // the browser brought typed text back
    for (const { label } of this.#labels) label.addEventListener("click", () => this.focus(), { signal });
    this.#watching = new MutationObserver(() => this.#followAttributes());
    this.#watching.observe(this.#textarea, { attributes: true });
  }

  #followAttributes() {
    this.view?.dispatch({
      effects: [this.#access.reconfigure(this.#accessNow()), this.#attributes.reconfigure(this.#attributesNow())],
    });
  }

  #tellTextarea() {
    if (this.#textarea.value === this.value) return;
    this.#textarea.value = this.value;
    this.#changed = true;
    this.#textarea.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #tellChange() {
    if (!this.#changed) return;
    this.#changed = false;
    this.#textarea.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

// A label's words without those of the field inside it.
function textOf(label) {
  const copy = label.cloneNode(true);
  for (const inner of copy.querySelectorAll("textarea, code-editor, button, select, input")) inner.remove();
  return copy.textContent.replace(/\s+/g, " ").trim();
}

function completions(complete) {
  return async (context) => {
    const line = context.state.doc.lineAt(context.pos);
    const found = await complete({
      text: context.state.doc.toString(),
      position: context.pos,
      before: line.text.slice(0, context.pos - line.from),
      explicit: context.explicit,
    });
    return found && found.options.length ? { filter: true, ...found } : null;
  };
}

// Completion begins by itself after letters only; in an expression also after `{{`, a dot and a bracket.
const afterBraces = EditorView.updateListener.of((update) => {
  if (!update.docChanged || !update.transactions.some((one) => one.isUserEvent("input.type"))) return;
  const end = update.state.selection.main.head;
  const before = update.state.doc.sliceString(Math.max(0, end - 3), end);
  if (/\{\{ ?$|[\w\])]\.$|\[['"]?$/.test(before)) startCompletion(update.view);
});

function diagnostics(problems) {
  return async (view) => {
    const text = view.state.doc;
    const found = await problems(text.toString());
    return found.map((problem) => {
      if (problem.from !== undefined) return { severity: "error", ...clipped(problem, view.state.doc.length) };
      const line = text.line(Math.min(Math.max(problem.line ?? 1, 1), text.lines));
      const from = Math.min(line.from + Math.max((problem.column ?? 1) - 1, 0), line.to);
      return { severity: problem.severity ?? "error", message: problem.message, from, to: line.to };
    });
  };
}

function clipped(problem, length) {
  const from = Math.min(Math.max(problem.from, 0), length);
  return { ...problem, from, to: Math.min(Math.max(problem.to ?? from, from), length) };
}

// `{{ ... }}` stands out inside every language.
const marked = new MatchDecorator({
  regexp: /\{\{.*?\}\}|\{%.*?%\}/g,
  decoration: Decoration.mark({ class: "cm-expression" }),
});
const expressions = ViewPlugin.define(
  (view) => ({
    marks: marked.createDeco(view),
    update(update) {
      this.marks = marked.updateDeco(update, this.marks);
    },
  }),
  { decorations: (plugin) => plugin.marks },
);

// Colours are custom properties of the page with a default for light and for dark; contrast at least 4.5 to 1.
const GROUND = "var(--editor-ground, light-dark(#ffffff, #14181d))";
const RAISED = "var(--editor-raised, light-dark(#f4f6f8, #1d232a))";
const TEXT = "var(--editor-text, light-dark(#1b2229, #e6eaee))";
const QUIET = "var(--editor-quiet, light-dark(#55606b, #a5b0bb))";
const LINE = "var(--editor-line, light-dark(#cfd6dd, #38424d))";
const ACCENT = "var(--editor-accent, light-dark(#1f4e79, #8cc0f0))";
const CHOSEN = "var(--editor-chosen, light-dark(#bcd9f7, #2c4a6b))";
const FOUND = "var(--editor-found, light-dark(#ffe9a8, #4d4416))";
const BAD = "var(--editor-bad, light-dark(#a3231b, #ff9d94))";

const FRAME = new CSSStyleSheet();
FRAME.replaceSync(`
  :host { display: block; min-width: 0; }
  :host([hidden]) { display: none; }
  .frame { box-sizing: border-box; min-height: 3.5em; resize: vertical; overflow: hidden; border: 1px solid ${LINE};
    border-radius: var(--editor-radius, 0.25rem); background: ${GROUND}; }
  .frame:focus-within { outline: 3px solid ${ACCENT}; outline-offset: 1px; }
  .cm-editor { height: 100%; }
`);

const LOOK = EditorView.theme({
  "&": { color: TEXT, backgroundColor: GROUND },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--editor-font, ui-monospace, 'DejaVu Sans Mono', monospace)", fontSize: "0.875rem", lineHeight: "1.5" },
  ".cm-content": { caretColor: TEXT },
  ".cm-gutters": { backgroundColor: RAISED, color: QUIET, borderRight: `1px solid ${LINE}` },
  ".cm-activeLine": { backgroundColor: "transparent" },
  "&.cm-focused .cm-activeLine": { backgroundColor: `color-mix(in srgb, ${ACCENT} 7%, transparent)` },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: TEXT },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: TEXT },
  ".cm-placeholder": { color: QUIET },
  "& > .cm-scroller > .cm-selectionLayer .cm-selectionBackground": { background: CHOSEN },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground": { background: CHOSEN },
  ".cm-content ::selection, .cm-content::selection": { backgroundColor: CHOSEN },
  ".cm-selectionMatch, .cm-searchMatch": { backgroundColor: FOUND },
  ".cm-searchMatch-selected": { backgroundColor: CHOSEN },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "transparent", outline: `1px solid ${ACCENT}` },
  "&.cm-focused .cm-nonmatchingBracket": { backgroundColor: "transparent", outline: `1px solid ${BAD}` },
  ".cm-foldPlaceholder": { backgroundColor: RAISED, borderColor: LINE, color: QUIET },
  ".cm-expression": { fontWeight: "600" },
  ".cm-expression, .cm-expression *": { color: ACCENT },
  ".cm-panels": { backgroundColor: RAISED, color: TEXT, borderColor: LINE },
  ".cm-panels.cm-panels-top": { borderBottom: `1px solid ${LINE}` },
  ".cm-textfield": { backgroundColor: GROUND, color: TEXT, border: `1px solid ${LINE}` },
  ".cm-button": { backgroundImage: "none", backgroundColor: GROUND, color: TEXT, border: `1px solid ${LINE}` },
  ".cm-tooltip": { backgroundColor: RAISED, color: TEXT, border: `1px solid ${LINE}` },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: CHOSEN, color: TEXT },
  ".cm-completionDetail": { color: QUIET, fontStyle: "normal" },
  "li[aria-selected] .cm-completionDetail": { color: TEXT },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".cm-diagnostic-error": { borderLeftColor: BAD },
  ".cm-tooltip .cm-diagnostic": { color: TEXT },
});

const COLOURS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "light-dark(#1f4e79, #8cc0f0)" },
  { tag: [tags.string, tags.special(tags.string)], color: "light-dark(#1b6e3c, #7ed3a0)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "light-dark(#8a3b00, #f0b27a)" },
  { tag: [tags.keyword, tags.typeName, tags.labelName], color: "light-dark(#6f2c91, #d3a6ee)" },
  { tag: [tags.comment, tags.meta, tags.separator], color: QUIET },
  { tag: tags.invalid, color: BAD },
]);

customElements.define("code-editor", CodeEditor);
