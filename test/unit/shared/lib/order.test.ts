import { assert, jsonValue, property } from "fast-check";
import { expect, test } from "vitest";

import { byText, canonicalJson } from "#shared/lib/order.ts";

test("texts are ordered by code unit, as no locale does it", () => {
  expect(["ä", "b", "Z", "a", "a"].toSorted(byText)).toEqual(["Z", "a", "a", "b", "ä"]);
});

test("keys are sorted at every level, lists keep their order", () => {
  expect(canonicalJson({ b: [{ d: 1, c: null }, 2], a: "x", A: true })).toBe(
    '{"A":true,"a":"x","b":[{"c":null,"d":1},2]}',
  );
});

test("what JSON cannot say is left out of objects and is null elsewhere", () => {
  expect(canonicalJson({ a: undefined, b: Number.NaN })).toBe('{"b":null}');
  expect(canonicalJson([undefined])).toBe("[null]");
  expect(canonicalJson(undefined)).toBe("null");
});

test("a name of Object.prototype is a key like any other", () => {
  const text = '{"__proto__":{"a":1},"constructor":2}';
  expect(canonicalJson(JSON.parse(text))).toBe(text);
});

test("it is JSON of the same value, and does not depend on the order of keys", () => {
  assert(
    property(jsonValue(), (value) => {
      const text = canonicalJson(value);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(canonicalJson(turned(value))).toBe(text);
    }),
  );
});

/** The same value with the keys of every object in reverse. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, item]) => [key, turned(item)]),
  );
}
