// Short notes about what just happened, read out politely. The server sends one with `HX-Trigger: {"toast": {...}}` or a live event.
import { element, icon } from "./dom.mjs";

const SIGNS = { ok: "circle-check", running: "info", waiting: "triangle-alert", failed: "circle-x", unknown: "circle-help", neutral: "info" };
const STAY_MS = 6000;

/** Show a note. A failure stays until it is dismissed; hovering keeps any note. */
export function toast(text, tone = "neutral") {
  const region = document.getElementById("toasts");
  if (!region) return;
  const close = element("button", { type: "button", class: "btn btn-quiet btn-small btn-icon", "aria-label": "Dismiss" }, icon("x"));
  const note = element("div", { class: `toast tone-${tone}` }, icon(SIGNS[tone] ?? "info"), element("span", {}, text), close);
  close.addEventListener("click", () => note.remove());
  region.append(note);
  if (tone === "failed" || tone === "unknown") return;
  let timer = setTimeout(() => note.remove(), STAY_MS);
  note.addEventListener("pointerenter", () => clearTimeout(timer));
  note.addEventListener("pointerleave", () => {
    timer = setTimeout(() => note.remove(), STAY_MS);
  });
}

export function startToasts() {
  document.body.addEventListener("toast", (event) => {
    const detail = event.detail ?? {};
    toast(String(detail.text ?? detail.value ?? ""), detail.tone);
  });
  document.body.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    if (status === 403) toast("You may not do this. Ask an admin of the project for the role that may.", "failed");
    else if (status === 409) toast("Somebody else changed this first. Reload the page to see it as it is now.", "failed");
    else if (status === 429) toast("Too many requests. Wait a moment, then try again.", "failed");
    else if (status >= 500) toast("The server could not do this. Nothing was changed; try again.", "failed");
    else toast(`The server refused this (${status}).`, "failed");
  });
  document.body.addEventListener("htmx:sendError", () => {
    toast("The server cannot be reached. Check your connection, then try again.", "failed");
  });
}
