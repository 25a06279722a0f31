// Where each node and edge of a run's graph goes: dagre, top to bottom, in the order as written.
import { graphlib, layout } from "@dagrejs/dagre";

export const NODE_HEIGHT = 48;
const CHAR_WIDTH = 7.1;
const SMALL_CHAR_WIDTH = 6;
const FRAME_HEAD = 18;
// More than this between two nodes means that another rank lies between them.
const NEIGHBOUR_GAP = 110;
const MIN_WIDTH = 150;
const MAX_WIDTH = 260;

/** Shorten a title to what fits a node. */
export function fit(title) {
  const room = Math.floor((MAX_WIDTH - 56) / CHAR_WIDTH);
  return title.length <= room ? title : `${title.slice(0, room - 1).trimEnd()}…`;
}

/** What stands under a node's title: its state's word and its kind. */
export function below(node) {
  return [node.word, node.kind].filter(Boolean).join(" · ");
}

// How many frames are nested inside this one, itself included: each needs room for its title.
function nesting(nodes, id) {
  const inside = nodes.filter((node) => node.parent === id);
  return inside.length ? 1 + Math.max(0, ...inside.map((node) => nesting(nodes, node.id))) : 0;
}

/**
 * Places for `{nodes: [{id, title, kind, state, parent}], edges: [[from, to]]}`.
 * A node that others name as their parent becomes a frame around them. Edges to or from ids that are not there are left out.
 */
export function place({ nodes, edges }) {
  const ids = new Set(nodes.map((node) => node.id));
  const parents = new Set(nodes.map((node) => node.parent).filter((parent) => parent && ids.has(parent)));
  const graph = new graphlib.Graph({ compound: true, multigraph: false });
  const deepest = Math.max(0, ...[...parents].map((id) => nesting(nodes, id)));
  const ranksep = Math.max(38, FRAME_HEAD * deepest + 6);
  graph.setGraph({ rankdir: "TB", nodesep: 28, ranksep, marginx: 12, marginy: 12 + FRAME_HEAD });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) {
    const length = Math.max(fit(node.title ?? node.id).length * CHAR_WIDTH, below(node).length * SMALL_CHAR_WIDTH);
    const width = Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, length + 56));
    graph.setNode(node.id, parents.has(node.id) ? { frame: true } : { width, height: NODE_HEIGHT });
  }
  for (const node of nodes) if (parents.has(node.parent)) graph.setParent(node.id, node.parent);
  // dagre cannot draw an edge at a frame: it goes from and to the frame's first and last children instead.
  const children = (id) => nodes.filter((node) => node.parent === id).map((node) => node.id);
  const ends = (id, last) => {
    if (!parents.has(id)) return [id];
    const inside = children(id);
    const joined = new Set(edges.filter(([a, b]) => inside.includes(a) && inside.includes(b)).map(([a, b]) => (last ? a : b)));
    return inside.filter((child) => !joined.has(child)).flatMap((child) => ends(child, last));
  };
  const drawn = [];
  for (const [from, to] of edges) {
    if (!ids.has(from) || !ids.has(to)) continue;
    for (const a of ends(from, true)) for (const b of ends(to, false)) {
      if (a === b || graph.hasEdge(a, b)) continue;
      graph.setEdge(a, b);
      drawn.push([a, b]);
    }
  }
  layout(graph, { customOrder: (ranked) => inWrittenOrder(ranked, nodes) });
  const size = graph.graph();
  return {
    width: Math.ceil(size.width || 0),
    height: Math.ceil(size.height || 0),
    nodes: nodes.filter((node) => !parents.has(node.id)).map((node) => ({ ...node, ...graph.node(node.id) })),
    frames: nodes.filter((node) => parents.has(node.id)).map((node) => {
      const box = graph.node(node.id);
      const head = FRAME_HEAD * nesting(nodes, node.id);
      return { ...node, x: box.x, width: box.width, height: box.height + head, y: box.y - head / 2 };
    }),
    edges: drawn.map(([from, to]) => ({ from, to, points: route(graph, from, to) })),
  };
}

// Each rank from left to right as written. dagre's own order has as few crossings here (blocks nest), but mirrors branches.
function inWrittenOrder(graph, nodes) {
  const place = new Map(nodes.map((node, at) => [node.id, at]));
  // The places of the frames around a node and its own, from the outermost inwards; dagre's root has none.
  const path = (id) => (place.has(id) ? [...path(graph.parent(id)), place.get(id)] : []);
  const key = (id) => {
    const { borderType, edgeObj } = graph.node(id);
    if (place.has(id)) return path(id);
    const frame = path(graph.parent(id));
    if (borderType) return [...frame, borderType === "borderLeft" ? -1 : nodes.length];
    if (!edgeObj) return [...frame, 0]; // a frame's head or foot
    // A bend stands where the end of its edge does that lies in the same frame.
    const ends = [path(edgeObj.v), path(edgeObj.w)];
    const inside = ends.filter((end) => end.length > frame.length && frame.every((at, depth) => end[depth] === at));
    return [...frame, ...inside.map((end) => end[frame.length])];
  };
  const ranks = new Map();
  for (const id of graph.nodes()) {
    if (graph.children(id).length) continue;
    const { rank } = graph.node(id);
    ranks.set(rank, [...(ranks.get(rank) ?? []), { id, key: key(id) }]);
  }
  for (const rank of ranks.values()) {
    rank.sort((a, b) => compare(a.key, b.key));
    rank.forEach(({ id }, at) => { graph.node(id).order = at; });
  }
}

// Lists of numbers, the first difference decides; a beginning comes before what it begins.
function compare(a, b) {
  const at = a.findIndex((value, n) => value !== b[n]);
  return at === -1 ? a.length - b.length : a[at] - (b[at] ?? -Infinity);
}

// From the middle of one node's foot to the middle of the next one's head, through dagre's bends where ranks lie between.
function route(graph, from, to) {
  const [a, b] = [graph.node(from), graph.node(to)];
  const [foot, head] = [{ x: a.x, y: a.y + a.height / 2 }, { x: b.x, y: b.y - b.height / 2 }];
  const between = head.y - foot.y > NEIGHBOUR_GAP ? graph.edge(from, to).points.slice(1, -1) : [];
  return [foot, ...between, head];
}
