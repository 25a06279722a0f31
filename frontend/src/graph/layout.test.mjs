import assert from "node:assert/strict";
import test from "node:test";
import { fit, place } from "./layout.mjs";

test("steps in a row stand below each other in the order as written", () => {
  const { nodes } = place({ nodes: [{ id: "a", title: "A" }, { id: "b", title: "B" }, { id: "c", title: "C" }], edges: [["a", "b"], ["b", "c"]] });
  const y = nodes.map((node) => node.y);
  assert.ok(y[0] < y[1] && y[1] < y[2]);
});

test("a frame encloses its children, and an edge at the frame goes to them", () => {
  const nodes = [{ id: "a" }, { id: "p" }, { id: "x", parent: "p" }, { id: "y", parent: "p" }, { id: "z" }];
  const placed = place({ nodes, edges: [["a", "p"], ["p", "z"]] });
  assert.deepEqual(placed.edges.map(({ from, to }) => `${from}-${to}`).sort(), ["a-x", "a-y", "x-z", "y-z"]);
  const [frame] = placed.frames;
  for (const child of placed.nodes.filter((node) => node.parent === "p")) {
    assert.ok(child.x - child.width / 2 >= frame.x - frame.width / 2);
    assert.ok(child.y + child.height / 2 <= frame.y + frame.height / 2);
  }
});

// Blocks within blocks as runbooks have them: a block's branches side by side, the steps of a branch below each other.
function nested(random, nodes = [], edges = [], parent = "", depth = 0) {
  const branches = [];
  for (let branch = 0; branch < (parent ? 1 + random(4) : 1); branch += 1) {
    const steps = [];
    for (let step = 0; step < 1 + random(3); step += 1) {
      const id = `n${nodes.length}`;
      nodes.push({ id, parent, title: "x".repeat(random(30)) });
      if (steps.length) edges.push([steps.at(-1), id]);
      steps.push(id);
      if (depth < 3 && random(3) === 0) nested(random, nodes, edges, id, depth + 1);
    }
    branches.push(steps[0]);
  }
  return { nodes, edges, branches };
}

function dice(seed) {
  let state = seed;
  return (sides) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * sides);
  };
}

const left = ({ x, width }) => x - width / 2;
const right = ({ x, width }) => x + width / 2;

test("branches stand side by side from left to right as written, each within its frame, however deep", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const { nodes, edges } = nested(dice(seed));
    const placed = place({ nodes, edges });
    const boxes = new Map([...placed.nodes, ...placed.frames].map((box) => [box.id, box]));
    for (const [id, box] of boxes) {
      const frame = boxes.get(box.parent);
      if (frame) assert.ok(left(frame) <= left(box) && right(box) <= right(frame), `seed ${seed}: ${id} sticks out of ${box.parent}`);
    }
    for (const a of boxes.values()) for (const b of boxes.values()) {
      const apart = a.parent !== b.parent || a.id >= b.id || right(a) <= left(b) || right(b) <= left(a) || a.y + a.height / 2 <= b.y - b.height / 2 || b.y + b.height / 2 <= a.y - a.height / 2;
      assert.ok(apart, `seed ${seed}: ${a.id} and ${b.id} overlap`);
    }
    const joined = new Set(edges.map(([, to]) => to));
    for (const frame of placed.frames) {
      const firsts = nodes.filter((node) => node.parent === frame.id && !joined.has(node.id)).map((node) => boxes.get(node.id));
      firsts.reduce((a, b) => {
        assert.ok(a.x < b.x, `seed ${seed}: ${b.id} is written after ${a.id} and drawn left of it`);
        return b;
      });
    }
  }
});

test("an edge to a step that is not there is left out", () => {
  assert.deepEqual(place({ nodes: [{ id: "a" }], edges: [["a", "gone"]] }).edges, []);
});

test("a long title is cut with an ellipsis", () => {
  assert.ok(fit("x".repeat(200)).endsWith("…"));
});
