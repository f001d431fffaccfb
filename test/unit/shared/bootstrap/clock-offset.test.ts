import { expect, test } from "vitest";

import { clockOffsetMs } from "#shared/bootstrap/clock-offset.ts";

/** Readings of a joiner whose clock is ahead by `ahead`, with these one-way delays and `thinking` at the sponsor. */
function readings(ahead: number, there: number, thinking: number, back: number) {
  const heardAt = 50_000 + there;
  const askedAt = heardAt + thinking;
  return { sentAt: 50_000 + ahead, heardAt, askedAt, gotAt: askedAt + back + ahead };
}

test.each([
  [0, 0, 0, 0, 0],
  [6000, 20, 0, 20, 6000],
  [-6000, 20, 5, 20, -6000],
  [0, 800, 3000, 800, 0],
  [5000, 100, 10, 0, 4950],
])("RFC 5905, section 8: ahead %i ms, delays %i/%i/%i ms → %i", (ahead, there, thinking, back, offset) => {
  expect(clockOffsetMs(readings(ahead, there, thinking, back))).toBe(offset);
});
