// The palette: Ctrl-K or / opens it, typing asks the server (/jump?q=), arrows choose, Enter goes there.
const WAIT_MS = 120;

function options(box) {
  return [...box.querySelectorAll('[role="option"]')];
}

function choose(input, box, index) {
  const all = options(box);
  all.forEach((option, place) => {
    option.id ||= `jump-option-${place}`;
    option.setAttribute("aria-selected", String(place === index));
  });
  const chosen = all[index];
  if (chosen) {
    input.setAttribute("aria-activedescendant", chosen.id);
    chosen.scrollIntoView({ block: "nearest" });
  } else input.removeAttribute("aria-activedescendant");
}

export function startJump() {
  const dialog = document.getElementById("jump");
  const input = dialog?.querySelector("input");
  const box = dialog?.querySelector("[data-jump-results]");
  if (!dialog || !input || !box) return;
  let timer = 0;
  let asked = 0;

  const load = async () => {
    const mine = ++asked;
    try {
      const address = new URL(dialog.dataset.jump, location.href);
      address.searchParams.set("q", input.value.trim());
      const answer = await fetch(address, { headers: { "HX-Request": "true" }, credentials: "same-origin" });
      if (mine !== asked) return;
      // Without a session the answer is the sign-in page after a redirect, not a list.
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      box.innerHTML = await answer.text();
      choose(input, box, 0);
    } catch {
      if (mine === asked) box.textContent = "The search cannot be reached. Try again in a moment.";
    }
  };
  const show = () => {
    if (dialog.open) return;
    dialog.showModal();
    input.select();
    load();
  };

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(load, WAIT_MS);
  });
  input.addEventListener("keydown", (event) => {
    const all = options(box);
    const at = all.findIndex((option) => option.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (all.length) choose(input, box, (at + (event.key === "ArrowDown" ? 1 : all.length - 1)) % all.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const link = all[at]?.matches("a") ? all[at] : all[at]?.querySelector("a");
      if (link) location.assign(link.href);
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-jump-open]") && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      show();
    }
  });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      show();
    }
  });
  document.addEventListener("handrail:jump", show);
}
