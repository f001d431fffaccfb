import { assert, integer, property } from "fast-check";
import { expect, test } from "vitest";

import { epochMs, isoMilliseconds, isoSeconds } from "#shared/lib/time.ts";

test("milliseconds are whole", () => {
  expect([epochMs(1.9), epochMs(-1.9)]).toEqual([1, -1]);
});

test.each([
  [0, "1970-01-01T00:00:00.000Z"],
  [-1, "1969-12-31T23:59:59.999Z"],
  [1_409_311_189_123, "2014-08-29T11:19:49.123Z"],
  [951_782_400_000, "2000-02-29T00:00:00.000Z"],
  [4_107_542_400_000, "2100-03-01T00:00:00.000Z"],
])("%i is %s", (at, text) => {
  expect(isoMilliseconds(epochMs(at))).toBe(text);
});

test("seconds are cut off, not rounded: the form of seed 003", () => {
  expect(isoSeconds(epochMs(1_409_311_189_999))).toBe("2014-08-29T11:19:49Z");
});

test("the same as Date says, from the year 0 to 9999", () => {
  const first = -62_167_219_200_000; // 0000-01-01, before which an ISO year has six digits.
  const last = Date.UTC(9999, 11, 31);
  assert(
    property(integer({ min: first, max: last }), (at) => {
      expect(isoMilliseconds(epochMs(at))).toBe(new Date(at).toISOString());
    }),
    { numRuns: 500 },
  );
});
