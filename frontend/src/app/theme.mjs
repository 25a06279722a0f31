// Light, dark, or as the system says. The page's head applies the remembered choice before the first paint.
import { recall, remember } from "./dom.mjs";

const KEY = "handrail-theme";

function apply(theme) {
  document.documentElement.dataset.theme = theme;
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === theme));
  }
  document.dispatchEvent(new CustomEvent("handrail:theme", { detail: theme }));
}

export function startTheme() {
  apply(recall(KEY) ?? "auto");
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-theme-choice]");
    if (!button) return;
    const theme = button.dataset.themeChoice;
    remember(KEY, theme === "auto" ? null : theme);
    apply(theme);
  });
}
