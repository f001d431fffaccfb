import { describe, expect, test } from "vitest";

import { SystemClock } from "#agent/clock/system-clock.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

describe("fake clock", () => {
  test("fires in the order of due times, ties in the order of setting", async () => {
    const clock = new FakeClock();
    const seen: string[] = [];
    void clock.sleep(20).then(() => seen.push(`b@${clock.monotonicMs()}`));
    void clock.sleep(10).then(() => seen.push(`a@${clock.monotonicMs()}`));
    using _ticks = clock.every(10, () => seen.push(`tick@${clock.monotonicMs()}`));
    await clock.advance(25);
    expect(seen).toEqual(["a@10", "tick@10", "b@20", "tick@20"]);
    expect(clock.monotonicMs()).toBe(25);
  });

  test("a jump of the wall clock moves no timer", async () => {
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

describe.each([
  ["system", new SystemClock()],
  ["fake", new FakeClock()],
])("%s clock", (_name, clock) => {
  test("a sleep rejects with the signal's reason, before and during", async () => {
    const reason = new Error("stopped");
    await expect(clock.sleep(1000, AbortSignal.abort(reason))).rejects.toBe(reason);
    const controller = new AbortController();
    const sleeping = clock.sleep(1000, controller.signal);
    controller.abort(reason);
    await expect(sleeping).rejects.toBe(reason);
  });

  test("a disposed interval fires no more", async () => {
    let count = 0;
    const ticks = clock.every(1, () => {
      count += 1;
    });
    ticks[Symbol.dispose]();
    if (clock instanceof FakeClock) await clock.advance(5);
    else await clock.sleep(5);
    expect(count).toBe(0);
  });
});
