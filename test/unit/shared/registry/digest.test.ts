import { expect, test } from "vitest";

import { digest, fnv1a64 } from "#shared/registry/digest.ts";

// Vectors of draft-eastlake-fnv, appendix C (64-bit FNV-1a); the last is checked against arithmetic in BigInt below.
test.each([
  ["", "cbf29ce484222325"],
  ["a", "af63dc4c8601ec8c"],
  ["foobar", "85944171f73967e8"],
])("FNV-1a of %j", (text, expected) => {
  expect(fnv1a64(text)).toBe(expected);
});

test("the two halves multiply like one 64-bit number", () => {
  const text = "zone ü 𝄞 ".repeat(50);
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  expect(fnv1a64(text)).toBe(hash.toString(16).padStart(16, "0"));
});

test("equal values have equal digests, others differ", () => {
  expect(digest({ a: 1, b: [2] })).toBe(digest({ b: [2], a: 1 }));
  expect(digest({ a: 1 })).not.toBe(digest({ a: "1" }));
});
