import { beforeEach, expect, test } from "vitest";

import { AttemptFailed } from "#agent/bootstrap/refusal.ts";
import { retrying } from "#agent/bootstrap/retry.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

const PASSES = new AppError("connect_error", { tried: [] });
const passing = (times: number): Error[] => Array.from({ length: times }, () => PASSES);
const STAYS = new AppError("access_denied", {});

let clock: FakeClock;
let log: RecordingLog;
let stop: AbortController;
/** When each try began, in seconds. */
let tries: number[];

beforeEach(() => {
  clock = new FakeClock();
  log = new RecordingLog();
  stop = new AbortController();
  tries = [];
});

/** Work that fails with these errors, one after the other, and then succeeds. */
function attempt(options: { maxRetries: number; retryTimeS: number }, errors: readonly Error[]) {
  let over = false;
  const done = retrying({ clock, log }, options, stop.signal, () => {
    tries.push(clock.monotonicMs() / 1000);
    const error = errors[tries.length - 1];
    return error === undefined ? Promise.resolve("done") : Promise.reject(error);
  }).finally(() => {
    over = true;
  });
  done.catch(() => undefined);
  return { done, settle: () => clock.until(() => over, 10_000_000, 500) };
}

test("waits ever longer between tries, and never longer than was asked for", async () => {
  const { done, settle } = attempt({ maxRetries: 9, retryTimeS: 5 }, passing(6));
  await settle();
  expect(await done).toBe("done");
  expect(tries).toEqual([0, 1, 3, 7, 12, 17, 22]);
  expect(log.matching("trying again")).toHaveLength(6);
});

test("does not wait when no time is given", async () => {
  const { done, settle } = attempt({ maxRetries: 2, retryTimeS: 0 }, [PASSES, PASSES]);
  await settle();
  expect(await done).toBe("done");
  expect(tries).toEqual([0, 0, 0]);
});

test("gives up after as many tries as were asked for, with the last failure", async () => {
  const last = new AppError("connect_error", { tried: [{ address: "10.0.0.1", cause: "refused" }] });
  const { done, settle } = attempt({ maxRetries: 1, retryTimeS: 1 }, [PASSES, last, PASSES]);
  await settle();
  await expect(done).rejects.toThrow("10.0.0.1: refused");
  await expect(done).rejects.toBeInstanceOf(AttemptFailed);
  expect(tries).toHaveLength(2);
});

test.each([
  ["what does not pass", STAYS],
  ["a defect", new Error("odd")],
])("does not try again after %s", async (_what, error) => {
  const { done, settle } = attempt({ maxRetries: 9, retryTimeS: 5 }, [PASSES, error]);
  await settle();
  await expect(done).rejects.toBeInstanceOf(AttemptFailed);
  expect(tries).toHaveLength(2);
});

test("a stop ends the waiting, and leaves no timer", async () => {
  const { done } = attempt({ maxRetries: 9, retryTimeS: 3600 }, passing(9));
  await clock.until(() => tries.length === 2);
  await clock.advance(1);
  stop.abort(new Error("the agent stops"));
  await expect(done).rejects.toThrow("the agent stops");
  expect([tries, clock.timers]).toEqual([[0, 1], 0]);
});
