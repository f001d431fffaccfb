import { setTimeout as sleep } from "node:timers/promises";

import { describe, expect, test, vi } from "vitest";

import { Metronome } from "#agent/clock/metronome.ts";
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

describe("intervals of the system's clock", () => {
  test("that divide each other share their wake-ups, whenever they were set", () => {
    using _real = { [Symbol.dispose]: () => vi.useRealTimers() };
    vi.useFakeTimers({ now: 17, toFake: ["setTimeout", "clearTimeout", "performance"] });
    const wakeUps = new Map<number, string>();
    const metronome = new Metronome({ nowMs: () => performance.now() });
    const note = (name: string) => (): void => {
      const now = performance.now();
      wakeUps.set(now, (wakeUps.get(now) ?? "") + name);
    };
    using _often = metronome.every(100, note("a"));
    vi.advanceTimersByTime(33);
    using _aswell = metronome.every(100, note("b"));
    using _seldom = metronome.every(500, note("c"));
    vi.advanceTimersByTime(1000);
    expect(wakeUps.size).toBe(10);
    expect([...wakeUps.values()].join(" ")).toMatch(/^(a |ab )(ab ){2,4}abc (ab ){4}abc( ab)*$/);
  });

  test("one that was late is called once and goes on from there", () => {
    let now = 0;
    using _real = { [Symbol.dispose]: () => vi.useRealTimers() };
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const metronome = new Metronome({ nowMs: () => now });
    let calls = 0;
    using _ticks = metronome.every(10, () => (calls += 1));
    const pass = (ms: number): void => {
      now += ms;
      vi.runOnlyPendingTimers();
    };
    pass(1000);
    expect(calls).toBe(1);
    pass(10);
    expect(calls).toBe(2);
  });
});
