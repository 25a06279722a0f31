// A form that was sent is busy until the answer comes, so that a second press cannot send it twice.
export function startForms() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("data-stay-ready")) return;
    if (form.hasAttribute("data-sent")) {
      event.preventDefault();
      return;
    }
    form.setAttribute("data-sent", "");
    // Not `disabled`: a disabled button would leave its own name and value out of the request.
    event.submitter?.setAttribute("aria-busy", "true");
  });
  // Coming back with the browser's back button shows the page as it was left: busy for ever.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("form[data-sent]")) form.removeAttribute("data-sent");
    for (const button of document.querySelectorAll("button[aria-busy]")) button.removeAttribute("aria-busy");
  });
}
