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

test("an edge to a step that is not there is left out", () => {
  assert.deepEqual(place({ nodes: [{ id: "a" }], edges: [["a", "gone"]] }).edges, []);
});

test("a long title is cut with an ellipsis", () => {
  assert.ok(fit("x".repeat(200)).endsWith("…"));
});
