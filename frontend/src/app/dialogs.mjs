// Opens and closes <dialog> elements. The opener is a link to the dialog's id, so that it also works without this file.

function open(dialog) {
  if (dialog.open) return;
  dialog.showModal();
}

export function startDialogs() {
  document.addEventListener("click", (event) => {
    const target = event.target;
    if (!(target instanceof Element)) return;
    const opener = target.closest("[data-dialog-open]");
    if (opener && !event.ctrlKey && !event.metaKey) {
      const dialog = document.getElementById(opener.dataset.dialogOpen);
      if (dialog instanceof HTMLDialogElement) {
        event.preventDefault();
        open(dialog);
      }
      return;
    }
    const closer = target.closest("[data-dialog-close]");
    if (closer) {
      event.preventDefault();
      closer.closest("dialog")?.close();
      return;
    }
    // A click on the backdrop reports the dialog itself as its target.
    if (target instanceof HTMLDialogElement && target.open && !target.hasAttribute("data-dialog-stay")) {
      const box = target.getBoundingClientRect();
      const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      if (!inside) target.close();
    }
  });
  const linked = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  if (linked instanceof HTMLDialogElement) {
    history.replaceState(null, "", location.pathname + location.search);
    open(linked);
  }
}
