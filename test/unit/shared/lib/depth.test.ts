import { expect, test } from "vitest";

import { nestsDeeperThan } from "#shared/lib/depth.ts";

test.each<[unknown, number]>([
  [null, 0],
  [1, 0],
  ["[[[", 0],
  [[], 1],
  [{}, 1],
  [{ a: [] }, 2],
  [[1, { a: 1 }, [[2]]], 3],
])("%j nests %i levels", (value, levels) => {
  expect(nestsDeeperThan(value, levels)).toBe(false);
  if (levels > 0) expect(nestsDeeperThan(value, levels - 1)).toBe(true);
});

test("nesting that would exhaust the stack is only counted", () => {
  const value: unknown = JSON.parse("[".repeat(200_000) + "]".repeat(200_000));
  expect(nestsDeeperThan(value, 64)).toBe(true);
  expect(nestsDeeperThan(value, 200_000)).toBe(false);
});
