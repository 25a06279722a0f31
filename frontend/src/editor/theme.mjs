// How the editor looks: every colour is a token of the page, so light and dark need no second theme.
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const frame = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--surface)", fontSize: "0.8125rem" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.65" },
  ".cm-content": { padding: "8px 0", caretColor: "var(--text)" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--text)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--running-line) !important" },
  ".cm-gutters": { backgroundColor: "var(--surface-sunken)", color: "var(--muted)", borderRight: "1px solid var(--border)" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 8px 0 12px", minWidth: "3.2em" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--hover) 70%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "var(--hover)", color: "var(--text)" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--ok-bg)", outline: "1px solid var(--ok-line)" },
  ".cm-searchMatch": { backgroundColor: "var(--waiting-bg)", outline: "1px solid var(--waiting-line)" },
  ".cm-searchMatch-selected": { backgroundColor: "var(--waiting-line)" },
  ".cm-selectionMatch": { backgroundColor: "var(--running-bg)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--surface-sunken)", border: "1px solid var(--border)", color: "var(--muted)" },
  ".cm-panels": { backgroundColor: "var(--surface-sunken)", color: "var(--text)", borderColor: "var(--border)" },
  ".cm-panels input, .cm-panels button": { fontFamily: "var(--font)", fontSize: "0.8125rem" },
  ".cm-textfield": { backgroundColor: "var(--surface)", color: "var(--text)", border: "1px solid var(--border-strong)", borderRadius: "6px" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--surface-raised)", color: "var(--text)", border: "1px solid var(--border-strong)", borderRadius: "6px" },
  ".cm-tooltip": { backgroundColor: "var(--surface-raised)", color: "var(--text)", border: "1px solid var(--border)", borderRadius: "8px", boxShadow: "var(--shadow-lg)", overflow: "hidden" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", maxHeight: "16em" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 10px", color: "var(--text)" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--running-bg)", color: "var(--text)" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700", color: "var(--accent)" },
  ".cm-completionDetail": { color: "var(--muted)", fontStyle: "normal", marginLeft: "1.5em" },
  ".cm-completionInfo": { padding: "8px 12px", maxWidth: "360px", fontFamily: "var(--font)" },
  ".cm-diagnostic": { padding: "8px 12px", borderLeft: "3px solid var(--failed)", fontFamily: "var(--font)", maxWidth: "520px" },
  ".cm-diagnostic-warning": { borderLeftColor: "var(--waiting)" },
  ".cm-diagnostic-info": { borderLeftColor: "var(--running)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--failed) 1.5px", textUnderlineOffset: "3px" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--waiting) 1.5px", textUnderlineOffset: "3px" },
  ".cm-lintRange-info": { backgroundImage: "none", textDecoration: "underline dotted var(--running) 1.5px", textUnderlineOffset: "3px" },
  // The library's own markers are data: images, which the page's policy does not allow.
  ".cm-lint-marker": { width: "0.7em", height: "0.7em", margin: "0.45em 0.2em 0" },
  ".cm-lint-marker.cm-lint-marker-error": { content: "normal", backgroundColor: "var(--failed)", borderRadius: "50%" },
  ".cm-lint-marker.cm-lint-marker-warning": { content: "normal", backgroundColor: "var(--waiting)", clipPath: "polygon(50% 0, 100% 100%, 0 100%)" },
  ".cm-lint-marker.cm-lint-marker-info": { content: "normal", backgroundColor: "var(--running)", borderRadius: "2px" },
  ".cm-gutter-lint": { width: "1.3em" },
});

const words = HighlightStyle.define([
  { tag: [tags.definition(tags.propertyName), tags.propertyName], color: "var(--running)", fontWeight: "600" },
  { tag: [tags.string, tags.content], color: "var(--text)" },
  { tag: tags.special(tags.string), color: "var(--ok)" },
  { tag: [tags.keyword, tags.bool, tags.null, tags.number, tags.atom], color: "var(--undone)" },
  { tag: [tags.lineComment, tags.comment], color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.separator, tags.punctuation, tags.squareBracket, tags.brace, tags.meta], color: "var(--muted)" },
  { tag: [tags.labelName, tags.typeName, tags.attributeValue], color: "var(--unknown)" },
  { tag: tags.invalid, color: "var(--failed)" },
]);

export const look = [frame, syntaxHighlighting(words)];
