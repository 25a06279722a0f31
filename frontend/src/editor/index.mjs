// Turns <textarea data-editor> into a YAML editor; the textarea stays the form's field and what is left without this file.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentLess, insertTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit } from "@codemirror/language";
import { lintGutter, lintKeymap } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { element } from "../app/dom.mjs";
import { completionSource } from "./completions.mjs";
import { look } from "./theme.mjs";
import { Validation } from "./validation.mjs";

const nonce = document.currentScript?.nonce ?? "";

function table(textarea) {
  const holder = document.getElementById(textarea.dataset.completions ?? "");
  return holder ? JSON.parse(holder.textContent) : {};
}

// Tab indents here, so leaving by keyboard needs a way: Escape, then Tab (said to screen readers by the label).
function tabKeys() {
  let leaving = false;
  return [
    { key: "Escape", run: () => { leaving = true; return false; } },
    {
      key: "Tab",
      run: (view) => {
        if (leaving) {
          leaving = false;
          return false;
        }
        return insertTab(view);
      },
      shift: (view) => (leaving ? false : indentLess(view)),
    },
  ];
}

function mount(textarea) {
  const label = document.querySelector(`label[for="${CSS.escape(textarea.id)}"]`)?.textContent.trim() ?? "Text";
  const status = element("span", { class: "editor-status badge tone-neutral", role: "status" });
  const bar = element(
    "div",
    { class: "editor-bar" },
    status,
    element("span", { class: "end only-wide" }, element("kbd", {}, "Ctrl"), " ", element("kbd", {}, "Space"), " completes, ", element("kbd", {}, "F8"), " next problem, ", element("kbd", {}, "Esc"), " ", element("kbd", {}, "Tab"), " leaves"),
  );
  const readOnly = textarea.readOnly || textarea.disabled;
  let validation = null;
  const view = new EditorView({
    state: EditorState.create({
      doc: textarea.value,
      extensions: [
        EditorView.cspNonce.of(nonce),
        lineNumbers(),
        foldGutter(),
        lintGutter(),
        highlightSpecialChars(),
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        highlightSelectionMatches(),
        indentUnit.of("  "),
        EditorState.tabSize.of(2),
        yaml(),
        autocompletion({ override: [completionSource(table(textarea))], icons: false }),
        look,
        EditorState.readOnly.of(readOnly),
        EditorView.contentAttributes.of({ "aria-label": `${label}. Escape, then Tab leaves the editor.`, tabindex: "0", spellcheck: "false", autocapitalize: "off", "data-gramm": "false" }),
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...tabKeys(), ...searchKeymap, ...historyKeymap, ...foldKeymap, ...lintKeymap, ...defaultKeymap]),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          textarea.value = update.state.doc.toString();
          textarea.dispatchEvent(new Event("input", { bubbles: true }));
          validation?.soon();
        }),
      ],
    }),
  });
  textarea.hidden = true;
  // A hidden required field cannot be focused, and the browser would refuse to send the form without a word.
  textarea.required = false;
  textarea.before(bar);
  textarea.after(view.dom);
  if (!textarea.dataset.validateUrl) {
    bar.hidden = true;
    return;
  }
  validation = new Validation(view, {
    address: textarea.dataset.validateUrl,
    list: document.getElementById(textarea.dataset.problems ?? ""),
    graph: document.getElementById(textarea.dataset.graph ?? ""),
    status,
  });
  validation.check();
}

// Text that was typed and not sent is worth a question before it is lost.
function guard(textarea) {
  const before = textarea.value;
  let sent = false;
  textarea.form?.addEventListener("submit", () => { sent = true; });
  window.addEventListener("beforeunload", (event) => {
    if (!sent && textarea.value !== before) event.preventDefault();
  });
}

function start() {
  for (const textarea of document.querySelectorAll("textarea[data-editor]")) {
    mount(textarea);
    guard(textarea);
  }
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
