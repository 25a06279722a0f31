import assert from "node:assert/strict";
import test from "node:test";
import { knownAt, pathAt } from "./completions.mjs";

const LINES = `runbook: x
inputs:
  region: {type: enum}
steps:
  - id: rate
    action: prometheus.query
    with:
      query: up
  - parallel:
      - id: a
on_failure:
- id: tell
  action: noop`.split("\n");

test("the top of the document has the empty path", () => assert.equal(pathAt(LINES, 0, 0), ""));
test("a key under a map is at the map's path", () => assert.equal(pathAt(LINES, 2, 2), "inputs"));
test("a key of a list's first line is in its item", () => assert.equal(pathAt(LINES, 4, 4), "steps[]"));
test("a key of a list's later line is in the same item", () => assert.equal(pathAt(LINES, 5, 4), "steps[]"));
test("a key deeper in an item has the whole path", () => assert.equal(pathAt(LINES, 7, 6), "steps[].with"));
test("a list inside an item has both items", () => assert.equal(pathAt(LINES, 9, 8), "steps[].parallel[]"));
test("a list may stand at its key's column", () => {
  assert.equal(pathAt(LINES, 11, 2), "on_failure[]");
  assert.equal(pathAt(LINES, 12, 2), "on_failure[]");
});
test("where no path fits, the star's are offered", () => assert.deepEqual(knownAt({ "*": { keys: ["id"] } }, "a.b"), { keys: ["id"] }));
