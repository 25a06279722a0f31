import assert from "node:assert/strict";
import test from "node:test";
import { clock, words } from "./durations.mjs";

test("a duration is said in its two largest units", () => {
  assert.equal(words(0), "0 s");
  assert.equal(words(250), "4 min 10 s");
  assert.equal(words(240), "4 min");
  assert.equal(words(7500), "2 h 5 min");
  assert.equal(words(100000), "1 d 3 h");
  assert.equal(words(-5), "0 s");
});

test("a countdown is a clock that stops at zero", () => {
  assert.equal(clock(680), "11:20");
  assert.equal(clock(3729), "1:02:09");
  assert.equal(clock(-3), "0:00");
});
