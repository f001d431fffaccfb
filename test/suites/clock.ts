import { getEventListeners } from "node:events";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { Beat, Clock } from "#agent/ports/clock.ts";

export interface ClockHarness {
  readonly clock: Clock;
  /** Resolves when that much time of the clock has passed, and what it set off has run. */
  pass(ms: number): Promise<void>;
}

/** A timer of the system may fire this much early by the monotonic clock, which counts finer. Milliseconds. */
const GRAIN_MS = 1;

/** What every implementation of agent/ports/clock.ts must do. */
export function clockSuite(name: string, make: () => ClockHarness): void {
  describe(name, () => {
    let clock: Clock;
    let pass: ClockHarness["pass"];
    const stack: Disposable[] = [];

    beforeEach(() => {
      const harness = make();
      ({ clock } = harness);
      pass = (ms) => harness.pass(ms);
    });
    afterEach(() => {
      for (const each of stack.splice(0)) each[Symbol.dispose]();
    });

    const every = (ms: number, callback: () => void): Beat => {
      const ticks = clock.every(ms, callback);
      stack.push(ticks);
      return ticks;
    };

    test("both clocks go on; the wall clock counts whole milliseconds", async () => {
      const [wall, monotonic] = [clock.now(), clock.monotonicMs()];
      await pass(20);
      expect(clock.monotonicMs() - monotonic).toBeGreaterThanOrEqual(20 - GRAIN_MS);
      expect(clock.now()).toBeGreaterThan(wall);
      expect(Number.isSafeInteger(clock.now())).toBe(true);
    });

    test("a sleep is over after its time, a shorter one before a longer one", async () => {
      const began = clock.monotonicMs();
      const woke: [ms: number, afterMs: number][] = [];
      for (const ms of [25, 0, 5]) {
        void clock.sleep(ms).then(() => woke.push([ms, clock.monotonicMs() - began]));
      }
      await Promise.resolve();
      expect(woke).toEqual([]);
      await pass(40);
      expect(woke.map(([ms]) => ms)).toEqual([0, 5, 25]);
      for (const [ms, afterMs] of woke) expect(afterMs).toBeGreaterThanOrEqual(ms - GRAIN_MS);
    });

    test("a sleep rejects with the signal's reason, whether it is given before or during", async () => {
      const reason = new Error("stopped");
      await expect(clock.sleep(60_000, AbortSignal.abort(reason))).rejects.toBe(reason);
      const controller = new AbortController();
      const sleeping = clock.sleep(60_000, controller.signal);
      controller.abort(reason);
      await expect(sleeping).rejects.toBe(reason);
    });

    test("a sleep that is over has left its signal, which may live as long as the agent", async () => {
      const { signal } = new AbortController();
      const sleeping = clock.sleep(1, signal);
      expect(getEventListeners(signal, "abort")).toHaveLength(1);
      await Promise.all([sleeping, pass(10)]);
      expect(getEventListeners(signal, "abort")).toEqual([]);
    });

    test("an interval calls again and again, for the first time after one period", async () => {
      const calls: number[] = [];
      every(5, () => calls.push(clock.monotonicMs()));
      expect(calls).toEqual([]);
      while (calls.length < 3) await pass(5);
    });

    test("a stopped interval calls no more, also when it stops itself; stopping twice is harmless", async () => {
      const counts = [0, 0];
      const stopped = every(1, () => (counts[0] = 1));
      stopped[Symbol.dispose]();
      stopped[Symbol.dispose]();
      const own = every(1, () => {
        counts[1] = (counts[1] ?? 0) + 1;
        own[Symbol.dispose]();
      });
      await pass(20);
      expect(counts).toEqual([0, 1]);
    });

    test("one that asks for rest is left alone for that long", async () => {
      const calls: number[] = [];
      const beat = every(10, () => {
        calls.push(clock.monotonicMs());
        beat.rest(80);
      });
      while (calls.length < 3) await pass(10);
      const [first = 0, second = 0, third = 0] = calls;
      expect(Math.min(second - first, third - second)).toBeGreaterThanOrEqual(80 - GRAIN_MS);
    });

    test("one that is roused comes at its next turn, as if it had not asked for rest", async () => {
      const calls: number[] = [];
      const beat = every(10, () => {
        calls.push(clock.monotonicMs());
        beat.rest(3_600_000);
      });
      while (calls.length < 1) await pass(10);
      beat.rouse();
      beat.rouse();
      expect(calls).toHaveLength(1);
      while (calls.length < 2) await pass(10);
      await pass(30);
      expect(calls).toHaveLength(2);
    });

    test("a rest shorter than the period is none, and one that is disposed of is not roused", async () => {
      const calls: number[] = [];
      const beat = every(5, () => {
        calls.push(clock.monotonicMs());
        beat.rest(0);
      });
      while (calls.length < 3) await pass(5);
      beat[Symbol.dispose]();
      beat.rest(1);
      beat.rouse();
      const before = calls.length;
      await pass(20);
      expect(calls).toHaveLength(before);
    });

    test("nothing that waits keeps the process alive", () => {
      const timers = (): number =>
        process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
      const before = timers();
      const stop = new AbortController();
      const sleeping = clock.sleep(60_000, stop.signal).catch(() => undefined);
      every(60_000, () => undefined);
      expect(timers()).toBe(before);
      stop.abort();
      return sleeping;
    });
  });
}
