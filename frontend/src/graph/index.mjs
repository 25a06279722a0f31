// Draws [data-graph]: the JSON beside it becomes an SVG of links, each node coloured and signed by its state.
import { below, fit, NODE_HEIGHT, place } from "./layout.mjs";

const NS = "http://www.w3.org/2000/svg";
const ARROW = 7;
const UNKNOWN = { tone: "neutral", word: "", sign: "dot" };
// Lucide's shapes on a 24 x 24 field, so that the graph and the badges show the same signs.
const SIGNS = {
  check: ["M20 6 9 17l-5-5"],
  x: ["M18 6 6 18", "m6 6 12 12"],
  spin: ["M21 12a9 9 0 1 1-6.219-8.56"],
  hourglass: ["M5 22h14", "M5 2h14", "M17 22v-4.172a2 2 0 0 0-.586-1.414L12 12l-4.414 4.414A2 2 0 0 0 7 17.828V22", "M7 2v4.172a2 2 0 0 0 .586 1.414L12 12l4.414-4.414A2 2 0 0 0 17 6.172V2"],
  skip: ["M5 4l10 8-10 8V4z", "M19 5v14"],
  undo: ["M9 14 4 9l5-5", "M4 9h10.5a5.5 5.5 0 0 1 0 11H11"],
  question: ["M9.09 9a3 3 0 0 1 5.83 1c0 2-3 3-3 3", "M12 17h.01"],
  dot: ["M12 12h.01"],
};
const STATES = {
  ok: { tone: "ok", word: "ok", sign: "check" },
  running: { tone: "running", word: "running", sign: "spin" },
  waiting: { tone: "waiting", word: "waiting", sign: "hourglass" },
  failed: { tone: "failed", word: "failed", sign: "x" },
  skipped: { tone: "skipped", word: "skipped", sign: "skip" },
  undone: { tone: "undone", word: "undone", sign: "undo" },
  unknown: { tone: "unknown", word: "outcome unknown", sign: "question" },
  pending: { tone: "neutral", word: "not started", sign: "dot" },
};

function svg(name, attributes, ...children) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function text(content, attributes) {
  const node = svg("text", attributes);
  node.textContent = content;
  return node;
}

function sign(kind) {
  const shape = svg("g", { transform: "translate(13 17) scale(0.583)" });
  const inner = svg("g", kind === "spin" ? { class: "graph-spin" } : {});
  for (const d of SIGNS[kind]) inner.append(svg("path", { class: "graph-sign-path", d }));
  shape.append(inner);
  return shape;
}

function drawNode(node, current) {
  const state = STATES[node.state] ?? UNKNOWN;
  const word = node.word ?? state.word ?? "";
  const group = svg(
    "g",
    { class: `graph-node tone-${state.tone}${node.id === current ? " is-current" : ""}`, transform: `translate(${node.x - node.width / 2} ${node.y - node.height / 2})` },
    svg("rect", { width: node.width, height: node.height, rx: 9 }),
    svg("circle", { class: "graph-sign", cx: 20, cy: NODE_HEIGHT / 2, r: 12 }),
    sign(state.sign),
    text(fit(node.title ?? node.id), { class: "graph-title", x: 40, y: word || node.kind ? 21 : 28 }),
  );
  const under = below({ ...node, word });
  if (under) group.append(text(under, { class: "graph-word", x: 40, y: 37 }));
  const label = `${node.title ?? node.id}: ${word || state.word || node.kind || "step"}`;
  const link = node.href ? svg("a", { href: node.href, class: "graph-link", "aria-label": label }) : svg("g", { role: "img", "aria-label": label });
  const full = svg("title", {});
  full.textContent = label;
  link.append(full, group);
  return link;
}

// Leaves and arrives upright, so that the arrowhead always points down; ends where the arrowhead begins.
function path(points) {
  const [first, ...rest] = points;
  let [x, y] = [first.x, first.y];
  let d = `M${x} ${y}`;
  rest.forEach((point, at) => {
    const endY = at === rest.length - 1 ? point.y - ARROW : point.y;
    const middle = (y + endY) / 2;
    d += ` C${x} ${middle} ${point.x} ${middle} ${point.x} ${endY}`;
    [x, y] = [point.x, endY];
  });
  return d;
}

// A graph wider than its view shrinks to fit, down to what can still be read; beyond that the view scrolls.
const LEAST_SCALE = 0.74;

function draw(data, current, title, room) {
  const placed = place(data);
  const scale = Math.min(1, Math.max(LEAST_SCALE, room / placed.width));
  const done = new Set(data.nodes.filter((node) => ["ok", "skipped"].includes(node.state)).map((node) => node.id));
  const root = svg("svg", { class: "graph-svg", role: "group", "aria-label": title, "data-scale": scale, width: placed.width * scale, height: placed.height * scale, viewBox: `0 0 ${placed.width} ${placed.height}` });
  for (const frame of placed.frames) {
    root.append(svg("rect", { class: "graph-frame", x: frame.x - frame.width / 2, y: frame.y - frame.height / 2, width: frame.width, height: frame.height, rx: 12 }));
  }
  for (const edge of placed.edges) {
    const end = edge.points.at(-1);
    root.append(
      svg("path", { class: `graph-edge${done.has(edge.from) ? " is-taken" : ""}`, d: path(edge.points) }),
      svg("path", { class: "graph-arrow", d: `M${end.x} ${end.y} l-4.5 -${ARROW} h9 z` }),
    );
  }
  // Over the edges: one that enters a frame may pass through its title.
  for (const frame of placed.frames) {
    const [from, to] = [frame.x - frame.width / 2, frame.x + frame.width / 2];
    root.append(text(frame.title ?? frame.id, { class: "graph-frame-title", x: from + 10, y: frame.y - frame.height / 2 + 15, "data-from": from, "data-to": to }));
  }
  for (const node of placed.nodes) root.append(drawNode(node, current));
  const at = placed.nodes.find((node) => node.id === current);
  return { root, at: at && { x: at.x * scale, y: at.y * scale }, width: placed.width * scale };
}

// Titles of frames that begin left of what is shown stay in view, as far as their frame reaches.
function keepTitles(view) {
  const root = view.firstElementChild;
  const seen = (view.getBoundingClientRect().left - root.getBoundingClientRect().left) / Number(root.dataset.scale);
  for (const title of root.querySelectorAll(".graph-frame-title")) {
    const [from, to] = [Number(title.dataset.from), Number(title.dataset.to)];
    const last = Math.max(from + 10, to - 10 - title.getComputedTextLength());
    title.setAttribute("x", Math.min(Math.max(from, seen) + 10, last));
  }
}

function render(holder) {
  const source = holder.querySelector('script[type="application/json"]');
  const view = holder.querySelector("[data-graph-view]");
  if (!source || !view) return;
  const current = holder.dataset.graphCurrent ?? "";
  const stamp = `${current}\n${source.textContent}`;
  if (holder.graphStamp === stamp && view.firstChild) return;
  const data = JSON.parse(source.textContent);
  const focused = view.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const first = !view.firstChild;
  if (!data.nodes.length) {
    view.hidden = true;
    return;
  }
  view.hidden = false;
  const { root, at, width } = draw(data, current, holder.dataset.graphTitle ?? "Graph of the steps", view.clientWidth - 32);
  view.replaceChildren(root);
  holder.graphStamp = stamp;
  holder.setAttribute("data-drawn", "");
  if (focused) [...view.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
  if (first) {
    view.scrollTop = at ? at.y - view.clientHeight / 2 : 0;
    view.scrollLeft = (at ? at.x : width / 2) + 16 - view.clientWidth / 2;
    view.addEventListener("scroll", () => keepTitles(view), { passive: true });
  }
  keepTitles(view);
  if (first) {
    const list = holder.querySelector(".graph-fallback");
    if (list) list.open = false;
  }
}

function redraw() {
  for (const holder of document.querySelectorAll("[data-graph]")) {
    delete holder.graphStamp;
    render(holder);
  }
}

const renderAll = () => document.querySelectorAll("[data-graph]").forEach(render);
document.addEventListener("handrail:changed", renderAll);
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", renderAll);
else renderAll();

let settled = 0;
let width = window.innerWidth;
window.addEventListener("resize", () => {
  // A phone's address bar changes only the height, with every scroll.
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  clearTimeout(settled);
  settled = setTimeout(redraw, 200);
});
