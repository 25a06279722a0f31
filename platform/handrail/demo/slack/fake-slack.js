// Shows the newest state without a reload: waits for a change, fetches the page, swaps its body.
// A modal that somebody is filling in is left alone until its content changes on the server.
(() => {
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const latest = () => document.querySelector(".stream");
  const toEnd = () => { const stream = latest(); if (stream) stream.scrollTop = stream.scrollHeight; };
  const focusModal = () => {
    const first = document.querySelector(".modal textarea, .modal select, .modal input:not([type=hidden]), .modal button");
    if (first) first.focus();
  };
  const modalText = (root) => { const modal = root.querySelector(".modal"); return modal ? modal.innerHTML : ""; };

  async function refresh() {
    const answer = await fetch(location.pathname + location.search);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const shown = document.body.dataset.modal || "";
    const wanted = modalText(fresh);
    const next = fresh.querySelector(".app");
    const current = document.querySelector(".app");
    const stream = latest();
    const stick = stream && stream.scrollHeight - stream.scrollTop - stream.clientHeight < 80;
    current.replaceWith(next);
    if (shown !== wanted) {
      document.querySelectorAll(".veil").forEach((veil) => veil.remove());
      const veil = fresh.querySelector(".veil");
      if (veil) document.body.append(veil);
      document.body.dataset.modal = wanted;
      focusModal();
    }
    if (stick) toEnd();
    return fresh.body.dataset.version;
  }

  async function watch() {
    let version = document.body.dataset.version;
    for (;;) {
      try {
        const answer = await fetch("/api/fake/live?version=" + version);
        const now = String((await answer.json()).version);
        if (now !== version) version = await refresh();
      } catch {
        await pause(1500);
      }
    }
  }

  document.body.dataset.modal = modalText(document);
  toEnd();
  focusModal();
  watch();
})();
