import { expect, test } from "vitest";

import { BackOff } from "#agent/mesh/back-off.ts";
import { Prng } from "#shared/lib/prng.ts";

test("waits double from 50 ms to 30 s with jitter, for ever, and start anew after a reset", () => {
  const backOff = new BackOff({ prng: new Prng(7) });
  for (let failures = 0; failures < 5000; failures += 1) {
    const full = Math.min(30_000, 50 * 2 ** failures);
    const wait = backOff.next();
    expect(wait).toBeGreaterThanOrEqual(full / 2);
    expect(wait).toBeLessThanOrEqual(full);
  }
  expect(backOff.longest()).toBeGreaterThanOrEqual(15_000);
  backOff.reset();
  expect(backOff.next()).toBeLessThanOrEqual(50);
});
