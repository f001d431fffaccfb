import { expect, test } from "vitest";

import { Finder, type Search } from "#agent/mesh/finder.ts";
import { Prng } from "#shared/lib/prng.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

/** A finder with one search that only notes when it looks and rests. */
function finderOver(look: () => Promise<void> = () => Promise.resolve()) {
  const clock = new FakeClock();
  const looks: number[] = [];
  const state = { missing: true, rests: 0 };
  const search: Search = {
    look: () => {
      looks.push(clock.monotonicMs());
      return look();
    },
    rest: () => void (state.rests += 1),
  };
  const finder = new Finder(
    { clock, log: new RecordingLog(), prng: new Prng(1), isAnybodyMissing: () => state.missing },
    { searches: [search] },
  );
  finder.start();
  return { clock, looks, state, finder };
}

test("looks soon at first, then ever more seldom, at least every 30 s", async () => {
  const { clock, looks, finder } = finderOver();
  await clock.advance(300_000);
  finder[Symbol.dispose]();
  expect(looks[0]).toBeLessThanOrEqual(1000);
  const gaps = looks.slice(1).map((at, i) => at - (looks[i] ?? 0));
  expect(Math.max(...gaps)).toBeLessThanOrEqual(30_000);
  expect(Math.min(...gaps.slice(-5))).toBeGreaterThanOrEqual(15_000);
});

test("rests while nobody is missing, and looks soon when somebody is again", async () => {
  const { clock, looks, state, finder } = finderOver();
  await clock.advance(120_000);
  state.missing = false;
  await clock.advance(60_000);
  const [before, sinceMs] = [looks.length, clock.monotonicMs()];
  expect(state.rests).toBeGreaterThan(0);
  await clock.advance(60_000);
  expect(looks).toHaveLength(before);
  state.missing = true;
  await clock.advance(5000);
  finder[Symbol.dispose]();
  expect(looks.length).toBeGreaterThan(before);
  expect((looks[before] ?? 0) - sinceMs).toBeLessThanOrEqual(61_000);
});

test("a look that fails is not the last; after the end there is none", async () => {
  const { clock, looks, state, finder } = finderOver(() => Promise.reject(new Error("no network")));
  await clock.advance(10_000);
  expect(looks.length).toBeGreaterThan(1);
  finder[Symbol.dispose]();
  expect(state.rests).toBe(1);
  const before = looks.length;
  await clock.advance(100_000);
  expect(looks).toHaveLength(before);
});
