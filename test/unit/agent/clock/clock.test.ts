import { setTimeout as sleep } from "node:timers/promises";

import { describe, expect, test } from "vitest";

import { SystemClock } from "#agent/clock/system-clock.ts";
import { clockSuite } from "#test/suites/clock.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

clockSuite("SystemClock", () => ({ clock: new SystemClock(), pass: (ms) => sleep(ms) }));

clockSuite("FakeClock", () => {
  const clock = new FakeClock();
  return { clock, pass: (ms) => clock.advance(ms) };
});

describe("only in the fake", () => {
  test("timers fire in the order of due times, ties in the order of setting", async () => {
    const clock = new FakeClock();
    const seen: string[] = [];
    void clock.sleep(20).then(() => seen.push(`b@${clock.monotonicMs()}`));
    void clock.sleep(10).then(() => seen.push(`a@${clock.monotonicMs()}`));
    using _ticks = clock.every(10, () => seen.push(`tick@${clock.monotonicMs()}`));
    await clock.advance(25);
    expect(seen).toEqual(["a@10", "tick@10", "b@20", "tick@20"]);
    expect(clock.monotonicMs()).toBe(25);
  });

  test("a jump of the wall clock moves no timer", () => {
    const clock = new FakeClock();
    const before = clock.now();
    clock.jumpWall(-3_600_000);
    expect(clock.now() - before).toBe(-3_600_000);
    expect(clock.monotonicMs()).toBe(0);
  });

  test("until() says which condition never came true", async () => {
    await expect(new FakeClock().until(() => false, 100)).rejects.toThrow("not so within 100 ms");
  });
});
