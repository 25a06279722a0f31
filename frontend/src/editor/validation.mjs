// Asks the server what is wrong with the text and shows it: in place, as a list, and as the graph beside it.
import { setDiagnostics } from "@codemirror/lint";
import { element, icon } from "../app/dom.mjs";

const WAIT_MS = 400;
const SIGNS = { error: ["failed", "octagon-alert"], warning: ["waiting", "triangle-alert"], info: ["running", "info"] };

/** A place in the document from a line and a column, both from 1, kept inside the document. */
export function offset(doc, line, column) {
  const at = doc.line(Math.min(Math.max(1, line || 1), doc.lines));
  // The server counts characters, this document UTF-16 units: a character beyond the plane is two of them.
  const before = [...at.text].slice(0, Math.max(0, (column || 1) - 1)).join("");
  return at.from + Math.min(before.length, at.length);
}

function range(doc, problem) {
  const from = offset(doc, problem.line, problem.column);
  const to = problem.end_line ? offset(doc, problem.end_line, problem.end_column) : from;
  // An empty range cannot be seen: take the rest of the line, or what is left of an empty one.
  return to > from ? { from, to } : { from, to: Math.max(from, doc.lineAt(from).to) };
}

function csrf() {
  return document.querySelector('meta[name="handrail-csrf"]')?.content ?? "";
}

export class Validation {
  constructor(view, { address, list, graph, status }) {
    Object.assign(this, { view, address, list, graph, status, timer: 0, asked: 0 });
  }

  soon() {
    clearTimeout(this.timer);
    this.say("Checking");
    this.timer = setTimeout(() => this.check(), WAIT_MS);
  }

  async check() {
    const mine = ++this.asked;
    const doc = this.view.state.doc;
    try {
      const body = new URLSearchParams({ source: doc.toString() });
      const answer = await fetch(this.address, { method: "POST", body, headers: { "X-CSRFToken": csrf(), Accept: "application/json" }, credentials: "same-origin" });
      if (answer.status === 413) throw new Error("The document is too large to be checked.");
      if (answer.redirected || !answer.ok) throw new Error(answer.status === 403 || answer.redirected ? "Sign in again to have the text checked; keep this tab open." : "The text cannot be checked just now.");
      const found = await answer.json();
      if (mine !== this.asked || doc !== this.view.state.doc) return;
      this.show(found);
    } catch (error) {
      if (mine === this.asked) this.say(error instanceof TypeError ? "The server cannot be reached; the text is not checked." : error.message, "waiting");
    }
  }

  show({ problems = [], graph_html: graphHtml = "" }) {
    const doc = this.view.state.doc;
    const diagnostics = problems
      .map((problem) => ({ ...range(doc, problem), severity: problem.severity ?? "error", message: problem.suggestion ? `${problem.message} ${problem.suggestion}` : problem.message }))
      .sort((one, other) => one.from - other.from);
    this.view.dispatch(setDiagnostics(this.view.state, diagnostics));
    this.renderList(problems);
    if (this.graph && graphHtml) {
      this.graph.innerHTML = graphHtml;
      document.dispatchEvent(new CustomEvent("handrail:changed"));
    }
    const errors = problems.filter((problem) => (problem.severity ?? "error") === "error").length;
    const others = problems.length - errors;
    const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
    if (errors) this.say([count(errors, "error"), others ? count(others, "hint") : ""].filter(Boolean).join(", "), "failed");
    else this.say(others ? `No errors, ${count(others, "hint")}` : "No problems", "ok");
    this.view.dom.dispatchEvent(new CustomEvent("handrail:validated", { bubbles: true, detail: { errors, problems } }));
  }

  renderList(problems) {
    if (!this.list) return;
    for (const counter of document.querySelectorAll("[data-problem-count]")) counter.textContent = String(problems.length);
    if (!problems.length) {
      this.list.replaceChildren(element("p", { class: "problems-none muted" }, "No problems. The document can be published."));
      return;
    }
    const items = problems.map((problem) => {
      const [tone, sign] = SIGNS[problem.severity] ?? SIGNS.error;
      const said = element("span", {}, element("span", { class: "visually-hidden" }, `${problem.severity ?? "error"}: `), problem.message);
      if (problem.suggestion) said.append(" ", element("span", { class: "problem-fix" }, problem.suggestion));
      if (problem.path) said.append(element("br"), element("span", { class: "problem-path" }, problem.path));
      const button = element("button", { type: "button", class: `problem tone-${tone}` }, icon(sign), said, element("span", { class: "problem-line" }, `line ${problem.line}`));
      button.addEventListener("click", () => this.reveal(problem));
      return element("li", {}, button);
    });
    this.list.replaceChildren(element("ol", { class: "problems", "aria-label": "Problems" }, ...items));
  }

  reveal(problem) {
    const { from } = range(this.view.state.doc, problem);
    this.view.dispatch({ selection: { anchor: from }, scrollIntoView: true });
    this.view.focus();
  }

  say(text, tone = "neutral") {
    if (!this.status) return;
    const sign = { ok: "circle-check", failed: "octagon-alert", waiting: "triangle-alert" }[tone] ?? "loader";
    this.status.className = `editor-status badge tone-${tone}`;
    this.status.replaceChildren(icon(sign), text);
  }
}
