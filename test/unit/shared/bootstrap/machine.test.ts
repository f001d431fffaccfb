import { describe, expect, test } from "vitest";

import {
  stepBootstrap,
  type BootstrapAction,
  type BootstrapEvent,
  type BootstrapFailure,
  type BootstrapState,
} from "#shared/bootstrap/machine.ts";
import { epochMs } from "#shared/lib/time.ts";

const T0 = epochMs(1_000_000);
const T1 = epochMs(2_000_000);
const FAILURE: BootstrapFailure = { code: "access_denied", details: { message: "no" } };
const action: BootstrapAction = "join_cluster";

const idle: BootstrapState = { name: "idle" };
const initiated: BootstrapState = { name: "initiated", action, attempt: 3, startedAt: T0 };
const running: BootstrapState = { name: "running", action, attempt: 3, startedAt: T0 };
const error: BootstrapState = {
  name: "error",
  action,
  attempt: 3,
  failure: FAILURE,
  startedAt: T0,
  endedAt: T0,
};
const completed: BootstrapState = { name: "completed", action, attempt: 3, startedAt: T0, endedAt: T0 };

const requested: BootstrapEvent = { type: "requested", action: "create_cluster", at: T1 };
const begun: BootstrapEvent = { type: "begun", attempt: 3 };
const succeeded: BootstrapEvent = { type: "ended", attempt: 3, failure: null, at: T1 };
const failed: BootstrapEvent = { type: "ended", attempt: 3, failure: FAILURE, at: T1 };
const early: BootstrapEvent = { type: "ticked", attempt: 3, elapsedMs: 99, limitMs: 100 };
const late: BootstrapEvent = { type: "ticked", attempt: 3, elapsedMs: 100, limitMs: 100 };
const fresh: BootstrapEvent = { type: "restarted", incarnation: null, at: T1 };
const withIdentity: BootstrapEvent = { type: "restarted", incarnation: 1, at: T1 };
const removed: BootstrapEvent = { type: "removed", reason: "removed from the cluster", peer: "p" };

const STATES = { idle, initiated, running, error, completed };
const EVENTS = { requested, begun, succeeded, failed, early, late, fresh, withIdentity, removed };

const run = (attempt: number) => ({ type: "run", action: "create_cluster", attempt }) as const;
const forget = { type: "forget" } as const;
const abort = { type: "abort", attempt: 3 } as const;
const began = (attempt: number) =>
  ({ name: "initiated", action: "create_cluster", attempt, startedAt: T1 }) as const;
const gone = { name: "idle", reason: "removed from the cluster", retired: "p" };

interface Expected {
  readonly refused?: string;
  readonly state?: object;
  readonly effects?: readonly object[];
}

/** What each event does in each state; an absent one changes nothing and has no effect. */
const TABLE: Record<keyof typeof STATES, Partial<Record<keyof typeof EVENTS, Expected>>> = {
  idle: {
    requested: { state: began(1), effects: [run(1)] },
    withIdentity: { state: idle, effects: [forget] },
  },
  initiated: {
    requested: { refused: "bootstrap_in_progress" },
    begun: { state: running, effects: [] },
    succeeded: { state: { ...completed, endedAt: T1 }, effects: [] },
    failed: { state: { ...error, endedAt: T1 }, effects: [] },
    late: { state: initiated, effects: [abort] },
    fresh: { state: { ...error, failure: { code: "internal_error" }, endedAt: T1 }, effects: [forget] },
    withIdentity: {
      state: { ...error, failure: { code: "internal_error" }, endedAt: T1 },
      effects: [forget],
    },
  },
  running: {
    requested: { refused: "bootstrap_in_progress" },
    succeeded: { state: { ...completed, endedAt: T1 }, effects: [] },
    failed: { state: { ...error, endedAt: T1 }, effects: [] },
    late: { state: running, effects: [abort] },
    fresh: { state: { ...error, failure: { code: "internal_error" }, endedAt: T1 }, effects: [forget] },
    withIdentity: {
      state: { ...error, failure: { code: "internal_error" }, endedAt: T1 },
      effects: [forget],
    },
  },
  error: {
    requested: { state: began(4), effects: [run(4)] },
    withIdentity: { state: error, effects: [forget] },
  },
  completed: {
    requested: { refused: "already_in_cluster" },
    fresh: { state: { ...error, failure: { code: "internal_error" }, endedAt: T1 }, effects: [] },
    removed: { state: gone, effects: [forget] },
  },
};

const CASES = Object.keys(STATES).flatMap((state) =>
  Object.keys(EVENTS).map((event) => [state as keyof typeof STATES, event as keyof typeof EVENTS] as const),
);

describe("every event in every state", () => {
  test.each(CASES)("%s: %s", (name, event) => {
    const state = STATES[name];
    const step = stepBootstrap(state, EVENTS[event]);
    const expected = TABLE[name][event];
    if (expected === undefined) expect(step).toEqual({ state, effects: [] });
    else expect(step).toMatchObject(expected);
    if ("effects" in step) {
      const wanted = expected?.effects ?? [];
      expect(step.effects).toHaveLength(wanted.length);
    }
  });
});

describe("an answer of another attempt changes nothing", () => {
  const others: BootstrapEvent[] = [
    { type: "begun", attempt: 2 },
    { type: "ended", attempt: 2, failure: null, at: T1 },
    { type: "ended", attempt: 4, failure: FAILURE, at: T1 },
    { type: "ticked", attempt: 2, elapsedMs: 1000, limitMs: 100 },
  ];
  test.each(others)("$type $attempt", (event) => {
    for (const state of [initiated, running])
      expect(stepBootstrap(state, event)).toEqual({ state, effects: [] });
  });
});

test("what changes nothing gives the same state object, so that nothing is saved", () => {
  const step = stepBootstrap(running, early);
  expect("state" in step && step.state).toBe(running);
});

test("after a restart in the middle the reason says so", () => {
  const step = stepBootstrap(running, fresh);
  expect("state" in step && step.state).toMatchObject({
    failure: {
      details: { message: expect.stringMatching(/restarted while it worked on join_cluster/) as string },
    },
  });
});

test.each([
  ["join_cluster", "connect_error"],
  ["create_cluster", "internal_error"],
] as const)("%s that takes too long ends with %s", (slow, code) => {
  const step = stepBootstrap({ ...running, action: slow }, { ...late, elapsedMs: 120_000, limitMs: 120_000 });
  expect("effects" in step && step.effects).toEqual([
    {
      type: "abort",
      attempt: 3,
      failure: { code, details: { message: `${slow} was not done after 120 s and was stopped` } },
    },
  ]);
});
