// A log as it grows: follow the end, wrap long lines, show only the lines that contain a text.

function filter(log) {
  const wanted = log.querySelector("[data-log-search]")?.value.toLowerCase() ?? "";
  let shown = 0;
  for (const line of log.querySelectorAll(".log-lines > li")) {
    line.hidden = wanted !== "" && !line.textContent.toLowerCase().includes(wanted);
    if (!line.hidden) shown += 1;
  }
  const note = log.querySelector("[data-log-count]");
  if (note) note.textContent = wanted ? `${shown} lines match` : "";
}

function follow(log) {
  const lines = log.querySelector(".log-lines");
  if (lines && log.querySelector("[data-log-follow]")?.checked) lines.scrollTop = lines.scrollHeight;
}

export function startLogs() {
  const each = (work) => document.querySelectorAll("[data-log]").forEach(work);
  document.addEventListener("input", (event) => {
    const log = event.target.closest?.("[data-log]");
    if (!log) return;
    if (event.target.matches("[data-log-search]")) filter(log);
    if (event.target.matches("[data-log-wrap]")) log.toggleAttribute("data-wrap", event.target.checked);
    if (event.target.matches("[data-log-follow]")) follow(log);
  });
  document.addEventListener("handrail:changed", () => each((log) => {
    filter(log);
    follow(log);
  }));
  each(follow);
}
