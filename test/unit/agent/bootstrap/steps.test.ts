import { beforeEach, expect, test } from "vitest";

import { StepRecorder, unrecorded } from "#agent/bootstrap/steps.ts";
import { BOOTSTRAP_STEPS_MAX } from "#shared/lib/limits.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

let clock: FakeClock;
let changes: number;
let recorder: StepRecorder;

beforeEach(() => {
  clock = new FakeClock(1000);
  changes = 0;
  recorder = new StepRecorder({ clock, onChange: () => (changes += 1) });
});

/** A part that waits for the test. */
function part(name: string) {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const done = recorder.step(name, () => promise);
  done.catch(() => undefined);
  return { done, resolve, reject };
}

test("parts are told in the order in which they began, though they overlap, with their times and how they ended", async () => {
  const preflight = part("preflight");
  clock.advanceSync(10);
  const hash = part("hash");
  expect(recorder.steps).toEqual([
    { name: "preflight", state: "running", start: 1000, end: null },
    { name: "hash", state: "running", start: 1010, end: null },
  ]);
  clock.advanceSync(10);
  hash.resolve("verifier");
  expect(await hash.done).toBe("verifier");
  clock.advanceSync(10);
  preflight.reject(new Error("no room"));
  await expect(preflight.done).rejects.toThrow("no room");
  expect(recorder.steps).toEqual([
    { name: "preflight", state: "failed", start: 1000, end: 1030 },
    { name: "hash", state: "done", start: 1010, end: 1020 },
  ]);
  expect(changes).toBe(4);
});

test("who was shown the parts is not shown others behind its back", () => {
  part("a");
  const shown = recorder.steps;
  part("b");
  expect(shown).toHaveLength(1);
});

test("a part that is tried again is another one", async () => {
  await recorder.step("contact", () => Promise.resolve());
  await recorder.step("contact", () => Promise.resolve());
  expect(recorder.steps.map(({ name }) => name)).toEqual(["contact", "contact"]);
});

test("the oldest are dropped, and their ends change nothing", async () => {
  const first = part("first");
  for (let i = 0; i < BOOTSTRAP_STEPS_MAX; i += 1) await recorder.step(`${i}`, () => Promise.resolve());
  expect(recorder.steps).toHaveLength(BOOTSTRAP_STEPS_MAX);
  expect(recorder.steps[0]?.name).toBe("0");
  first.resolve("late");
  await first.done;
  expect(recorder.steps.map(({ name }) => name)).not.toContain("first");
});

test("what is under way at the end never ended", () => {
  part("survey");
  expect(recorder.close()).toEqual([{ name: "survey", state: "failed", start: 1000, end: null }]);
});

test("work that throws at once is a part that failed", async () => {
  const work = (): Promise<void> => {
    throw new Error("at once");
  };
  await expect(recorder.step("odd", work)).rejects.toThrow("at once");
  expect(recorder.steps).toMatchObject([{ name: "odd", state: "failed" }]);
});

test("a rehearsal's parts are no part of anything", async () => {
  expect(await unrecorded("survey", () => Promise.resolve(7))).toBe(7);
});
