import { expect, test } from "vitest";

import { Prng } from "#shared/lib/prng.ts";

const many = <T>(draw: () => T): T[] => Array.from({ length: 2000 }, draw);

test("a seed stands for one sequence, for ever: simulations are replayed by it", () => {
  const prng = new Prng(42);
  expect([prng.uint32(), prng.uint32(), prng.uint32()]).toMatchInlineSnapshot(`
    [
      1378398858,
      4072252852,
      3379312261,
    ]
  `);
  const [a, b] = [new Prng(7), new Prng(7)];
  expect(many(() => a.next())).toEqual(many(() => b.next()));
  expect(many(() => new Prng(1).uint32())[0]).not.toBe(many(() => new Prng(2).uint32())[0]);
});

test("draws stay in their range and reach its ends", () => {
  const prng = new Prng(1);
  expect(new Set(many(() => prng.below(3)))).toEqual(new Set([0, 1, 2]));
  expect(new Set(many(() => prng.between(-1, 1)))).toEqual(new Set([-1, 0, 1]));
  expect(new Set(many(() => prng.pick(["a", "b"])))).toEqual(new Set(["a", "b"]));
  for (const x of many(() => prng.next())) expect(x >= 0 && x < 1).toBe(true);
});

test("chance follows its probability", () => {
  const prng = new Prng(3);
  const hits = (p: number): number => many(() => prng.chance(p)).filter(Boolean).length;
  expect(hits(0)).toBe(0);
  expect(hits(1)).toBe(2000);
  expect(hits(0.25)).toBeGreaterThan(400);
  expect(hits(0.25)).toBeLessThan(600);
});

test("shuffle keeps every item, leaves the original alone, and makes every order", () => {
  const prng = new Prng(5);
  const items = [1, 2, 3];
  const orders = many(() => prng.shuffle(items));
  expect(items).toEqual([1, 2, 3]);
  expect(new Set(orders.map((order) => order.toSorted((a, b) => a - b).join()))).toEqual(new Set(["1,2,3"]));
  expect(new Set(orders.map((order) => order.join())).size).toBe(6);
});

test("nothing can be picked from an empty list", () => {
  expect(() => new Prng(1).pick([])).toThrow(RangeError);
});
