// Asks before a dangerous form is sent, always saying what will happen. Without this file the server's own page asks.
import { element } from "./dom.mjs";

function ask({ title, text, action, danger }) {
  return new Promise((resolve) => {
    const go = element("button", { type: "button", class: danger ? "btn btn-danger" : "btn btn-primary" }, action);
    const stay = element("button", { type: "button", class: "btn", autofocus: true }, "Go back");
    const dialog = element(
      "dialog",
      { class: "dialog", "aria-labelledby": "confirm-title", "aria-describedby": "confirm-text" },
      element("div", { class: "dialog-head" }, element("h2", { id: "confirm-title" }, title)),
      element("div", { class: "dialog-body" }, element("p", { id: "confirm-text" }, text)),
      element("div", { class: "dialog-actions" }, stay, go),
    );
    let answer = false;
    go.addEventListener("click", () => {
      answer = true;
      dialog.close();
    });
    stay.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

function question(node, fallback) {
  return {
    title: node.dataset.confirmTitle ?? fallback ?? "Go ahead?",
    text: node.dataset.confirm,
    action: node.dataset.confirmAction ?? fallback ?? "Go ahead",
    danger: node.hasAttribute("data-confirm-danger"),
  };
}

export function startConfirm(htmx) {
  document.addEventListener(
    "submit",
    async (event) => {
      const form = event.target;
      const submitter = event.submitter;
      const node = submitter?.dataset.confirm ? submitter : form;
      if (!node.dataset.confirm || form.dataset.confirmed === "yes") {
        delete form.dataset.confirmed;
        return;
      }
      event.preventDefault();
      event.stopImmediatePropagation();
      if (!(await ask(question(node, submitter?.textContent.trim())))) return;
      form.dataset.confirmed = "yes";
      form.requestSubmit(submitter ?? undefined);
    },
    true,
  );
  htmx.on("htmx:confirm", async (event) => {
    if (!event.detail.question) return;
    event.preventDefault();
    const node = event.detail.elt;
    const asked = { ...question(node, node.textContent.trim()), text: event.detail.question };
    if (await ask(asked)) event.detail.issueRequest(true);
  });
}
