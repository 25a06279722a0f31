// Completions by place in the document. The page gives them as JSON, by path with `[]` for a list's item:
//
//   {"": {"keys": [{"label": "steps", "detail": "list", "info": "What is done, in order.", "apply": "steps:\n  - "}]},
//    "steps[]": {"keys": [...], "values": {"action": ["http.request", "noop"]}},
//    "*": {"keys": [...]}}
//
// `*` is offered where no path fits.

const INDENT = /^( *)((?:- +)*)([^\s:#'"-][^:#]*?)?\s*(:)?(?:\s|$)/;

/** The path of line `number` (from 0) in `lines`: the keys above it that are indented less. */
export function pathAt(lines, number, column) {
  const parts = [];
  let keyLimit = column;
  let dashLimit = column;
  for (let at = number; at >= 0; at -= 1) {
    const match = INDENT.exec(lines[at]);
    if (!match || (lines[at].trim() === "" && at !== number)) continue;
    const [, spaces, dashes, key, colon] = match;
    const start = spaces.length + dashes.length;
    if (at !== number && key && colon && start < keyLimit) {
      parts.unshift(key.trim());
      keyLimit = start;
      dashLimit = start;
    }
    if (dashes && spaces.length < dashLimit) {
      parts.unshift("[]");
      // In YAML a list may stand at its key's own column.
      keyLimit = spaces.length + 1;
      dashLimit = spaces.length;
    }
  }
  return parts.join(".").replaceAll(".[]", "[]");
}

/** The completions known for a path, or those for `*`. */
export function knownAt(table, path) {
  return table[path] ?? table[path.replace(/^.*?(steps\[\])/, "$1")] ?? table["*"] ?? {};
}

function asOption(entry, type) {
  return typeof entry === "string" ? { label: entry, type } : { type, ...entry };
}

/** A CodeMirror completion source over such a table. */
export function completionSource(table) {
  return (context) => {
    const { state, pos, explicit } = context;
    const line = state.doc.lineAt(pos);
    const before = line.text.slice(0, pos - line.from);
    if (/(^|\s)#/.test(before)) return null;
    const lines = state.doc.toString().split("\n");
    const value = /^( *(?:- +)*)([\w-]+):\s+([\w.-]*)$/.exec(before);
    if (value) {
      const values = knownAt(table, pathAt(lines, line.number - 1, value[1].length)).values?.[value[2]];
      return values ? { from: pos - value[3].length, options: values.map((entry) => asOption(entry, "enum")), validFor: /^[\w.-]*$/ } : null;
    }
    const key = /^( *(?:- +)*)([\w-]*)$/.exec(before);
    if (!key || (!key[2] && !explicit)) return null;
    const keys = knownAt(table, pathAt(lines, line.number - 1, key[1].length)).keys;
    if (!keys) return null;
    const options = keys.map((entry) => asOption(entry, "property")).map((option) => ({ ...option, apply: option.apply ?? `${option.label}: ` }));
    return { from: pos - key[2].length, options, validFor: /^[\w-]*$/ };
  };
}
