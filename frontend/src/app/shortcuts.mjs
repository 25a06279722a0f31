// Single keys: `g` then a letter goes to a page, `/` searches, `?` lists all, j/k walk a list, and a page's own [data-shortcut].
import { element, isTyping, recall, remember } from "./dom.mjs";

const KEY = "handrail-single-keys";
const CHORD_MS = 1200;

function ownShortcuts() {
  return [...document.querySelectorAll("[data-shortcut]")].filter((node) => node.checkVisibility?.() ?? true);
}

function fillOwn(dialog) {
  const list = dialog.querySelector("[data-shortcuts-here]");
  if (!list) return;
  const nodes = ownShortcuts();
  list.closest("section").hidden = nodes.length === 0;
  list.replaceChildren(
    ...nodes.map((node) => {
      const name = node.dataset.shortcutName ?? node.textContent.trim();
      return element("li", {}, element("span", {}, name), element("span", { class: "keys" }, element("kbd", {}, node.dataset.shortcut)));
    }),
  );
}

function walk(step) {
  const links = [...document.querySelectorAll("main .row-link")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step));
  links[next].focus();
}

export function startShortcuts() {
  const dialog = document.getElementById("shortcuts");
  const toggle = dialog?.querySelector("[data-single-keys]");
  let enabled = recall(KEY) !== "off";
  let chordUntil = 0;
  if (toggle) {
    toggle.checked = enabled;
    toggle.addEventListener("change", () => {
      enabled = toggle.checked;
      remember(KEY, enabled ? null : "off");
    });
  }
  const list = () => {
    if (!dialog || dialog.open) return;
    fillOwn(dialog);
    dialog.showModal();
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-shortcuts-open]")) list();
  });
  document.addEventListener("keydown", (event) => {
    if (!enabled || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const chord = performance.now() < chordUntil;
    chordUntil = 0;
    let done = true;
    if (chord) {
      const link = document.querySelector(`.nav a[data-go="${CSS.escape(event.key)}"]`);
      if (link) link.click();
      else done = false;
    } else if (event.key === "g") chordUntil = performance.now() + CHORD_MS;
    else if (event.key === "?") list();
    else if (event.key === "/") document.dispatchEvent(new CustomEvent("handrail:jump"));
    else if (event.key === "j" || event.key === "k") walk(event.key === "j" ? 1 : -1);
    else {
      const own = ownShortcuts().find((node) => node.dataset.shortcut === event.key);
      if (!own) done = false;
      else if (own.matches("input, textarea, select")) own.focus();
      else own.click();
    }
    if (done) event.preventDefault();
  });
}
