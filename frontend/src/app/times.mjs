// Times local to the reader with UTC on hover, and durations that count. The server renders each <time> readable without this.
import { clock, words } from "./durations.mjs";

const DAY_S = 86400;
const CLOSE_S = 120;
const dateTime = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

// The server's clock decides a deadline, so the reader's own wrong clock must not: the page carries the server's time.
function clockSkewMs() {
  const stamp = Date.parse(document.documentElement.dataset.now ?? "");
  return Number.isNaN(stamp) ? 0 : stamp - Date.now();
}

const render = {
  ago: (at, now) => (now - at < DAY_S * 7 ? `${words(now - at)} ago` : dateTime.format(at * 1000)),
  since: (at, now) => words(now - at),
  until: (at, now) => (at > now ? `${clock(at - now)} left` : "time is up"),
  datetime: (at) => dateTime.format(at * 1000),
  clock: (at) => clockTime.format(at * 1000),
};

export function startTimes() {
  const skew = clockSkewMs();
  const paint = () => {
    const now = (Date.now() + skew) / 1000;
    for (const node of document.querySelectorAll("time[data-when]")) {
      const at = Date.parse(node.dateTime) / 1000;
      const draw = render[node.dataset.when];
      if (!draw || Number.isNaN(at)) continue;
      const text = draw(at, now);
      if (node.textContent !== text) node.textContent = text;
      if (node.dataset.when === "until") node.toggleAttribute("data-close", at - now < CLOSE_S);
    }
  };
  paint();
  setInterval(() => {
    if (!document.hidden) paint();
  }, 1000);
  document.addEventListener("visibilitychange", paint);
  document.addEventListener("handrail:changed", paint);
}
