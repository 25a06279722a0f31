// Everything that a page needs besides its HTML, started in one place. Pages work without it.
import htmx from "htmx.org/dist/htmx.esm.js";
import { startConfirm } from "./confirm.mjs";
import { startCopy } from "./copy.mjs";
import { startDialogs } from "./dialogs.mjs";
import { startForms } from "./forms.mjs";
import { startJump } from "./jump.mjs";
import { startLive } from "./live.mjs";
import { startLogs } from "./log.mjs";
import { startMenus } from "./menus.mjs";
import { startShortcuts } from "./shortcuts.mjs";
import { startTheme } from "./theme.mjs";
import { startTimes } from "./times.mjs";
import { startToasts, toast } from "./toasts.mjs";

window.htmx = htmx;
window.handrail = Object.freeze({ toast });

function start() {
  startTheme();
  startMenus();
  startDialogs();
  startToasts();
  startTimes();
  startCopy();
  startForms();
  startConfirm(htmx);
  startJump();
  startShortcuts();
  startLogs();
  startLive(htmx);
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
