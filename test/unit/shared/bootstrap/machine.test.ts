import { describe, expect, test } from "vitest";

import {
  hasRecovered,
  isMember,
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

describe("a member whose cluster has no leader", () => {
  const steps = [{ name: "survey", state: "failed", start: T0, end: T1 }] as const;
  const how = { action: "join_cluster", attempt: 3, startedAt: T0, endedAt: T0 } as const;
  const under = {
    action: "recover_cluster",
    attempt: 4,
    startedAt: T1,
    member: { ...how, incarnation: 2 },
  } as const;
  const recovers: BootstrapState = { name: "initiated", ...under };
  const recovering: BootstrapState = { name: "running", ...under };
  const undone = { failure: FAILURE, attempt: 4, startedAt: T1, endedAt: T1 };
  const remains: BootstrapState = { name: "completed", ...how, recovery: undone };

  const wish = (lost: number | null, action: BootstrapAction = "recover_cluster"): BootstrapEvent => ({
    type: "requested",
    action,
    at: T1,
    lost,
  });
  const over = (failure: BootstrapFailure | null): BootstrapEvent => ({
    type: "ended",
    attempt: 4,
    failure,
    at: T1,
    steps,
  });
  const restarted = (incarnation: number | null): BootstrapEvent => ({
    type: "restarted",
    incarnation,
    at: T1,
  });

  /** The state and the effects after one event; throws when it is refused. */
  function after(state: BootstrapState, event: BootstrapEvent) {
    const step = stepBootstrap(state, event);
    if ("refused" in step) throw new Error(step.refused);
    return step;
  }

  test("may recover it, and remembers what it was", () => {
    const effects = [{ type: "run", action: "recover_cluster", attempt: 4 }];
    expect(after(completed, wish(2))).toEqual({ state: recovers, effects });
  });

  test.each([
    ["recover_cluster", null],
    ["create_cluster", 2],
    ["join_cluster", 2],
  ] as const)("may not do anything else: %s, lost: %s", (wished, lost) => {
    expect(stepBootstrap(completed, wish(lost, wished))).toEqual({ refused: "already_in_cluster" });
  });

  test.each([recovers, recovering])("is refused a second recovery while one is $name", (state) => {
    expect(stepBootstrap(state, wish(2))).toEqual({ refused: "bootstrap_in_progress" });
  });

  test.each([recovers, recovering])("is the member it was when the recovery fails, $name", (state) => {
    expect(after(state, over(FAILURE))).toEqual({
      state: { ...remains, recovery: { ...undone, steps } },
      effects: [],
    });
  });

  test("is one by the recovery when that succeeds", () => {
    expect(after(recovering, over(null))).toEqual({
      state: {
        name: "completed",
        action: "recover_cluster",
        attempt: 4,
        startedAt: T1,
        endedAt: T1,
        steps,
      },
      effects: [],
    });
  });

  test.each([recovers, recovering])("is told to stop when it takes too long, $name", (state) => {
    expect(after(state, { ...late, attempt: 4 }).effects).toMatchObject([{ type: "abort", attempt: 4 }]);
  });

  test.each([recovers, recovering])("loses nothing by a restart before the disk has it, $name", (state) => {
    const { state: next, effects } = after(state, restarted(2));
    expect(effects).toEqual([]);
    expect(next).toMatchObject({ ...remains, recovery: { failure: { code: "internal_error" }, attempt: 4 } });
    expect(next).toMatchObject({
      recovery: {
        failure: { details: { message: expect.stringContaining("the member that it was") as string } },
      },
    });
  });

  test("has recovered when the next incarnation is on the disk after a restart", () => {
    const { state: next, effects } = after(recovering, restarted(3));
    expect(effects).toEqual([]);
    expect(next).toEqual({
      name: "completed",
      action: "recover_cluster",
      attempt: 4,
      startedAt: T1,
      endedAt: T1,
    });
  });

  test.each([recovers, recovering])(
    "whose record is gone is none, and forgets nothing more, $name",
    (state) => {
      const { state: next, effects } = after(state, restarted(null));
      expect(effects).toEqual([]);
      expect(next).toMatchObject({ name: "error", attempt: 4, failure: { code: "internal_error" } });
      expect(next).not.toHaveProperty("member");
    },
  );

  test("counts its attempts up, whatever becomes of them", () => {
    const again = after(remains, wish(2)).state;
    expect(again).toEqual({ ...recovers, attempt: 5, member: { ...how, incarnation: 2 } });
    const failedTwice = after(again, { ...over(FAILURE), attempt: 5 } as BootstrapEvent).state;
    expect(after(failedTwice, wish(2)).state).toMatchObject({ attempt: 6 });
    const gone = after(failedTwice, restarted(null)).state;
    expect(gone).toMatchObject({ name: "error", attempt: 5 });
    expect(after(gone, wish(null)).state).toMatchObject({ attempt: 6 });
  });

  test("is out of it when the cluster takes it out, whatever it tried before", () => {
    expect(after(remains, removed)).toEqual({ state: gone, effects: [forget] });
  });

  test.each<[BootstrapEvent]>([
    [wish(2)],
    [over(FAILURE)],
    [over(null)],
    [restarted(2)],
    [{ ...late, attempt: 4 }],
  ])("is never made to forget by %o", (event) => {
    for (const state of [completed, remains, recovers, recovering]) {
      const step = stepBootstrap(state, event);
      if ("effects" in step) expect(step.effects).not.toContainEqual(forget);
    }
  });

  test("is a member all the while", () => {
    expect([completed, remains, recovers, recovering].map(isMember)).toEqual([true, true, true, true]);
    expect([idle, initiated, running, error].map(isMember)).toEqual([false, false, false, false]);
  });
});

describe("a recovery on a host that is no member", () => {
  const begins: BootstrapState = { ...initiated, action: "recover_cluster" };
  const runs: BootstrapState = { ...running, action: "recover_cluster" };

  test("that has reached the disk is never taken back: others may have given up what they held for it", () => {
    expect(stepBootstrap(runs, withIdentity)).toEqual({
      state: { ...completed, action: "recover_cluster", endedAt: T1 },
      effects: [],
    });
  });

  test.each([
    ["before it began, whatever lies there", begins, withIdentity],
    ["before it reached the disk", runs, fresh],
  ])("is taken back %s", (_what, state, event) => {
    expect(stepBootstrap(state, event)).toMatchObject({ state: { name: "error" }, effects: [forget] });
  });

  test("only a recovery that runs can have recovered", () => {
    expect(hasRecovered(runs, 1)).toBe(true);
    expect([hasRecovered(begins, 1), hasRecovered(runs, null), hasRecovered(running, 1)]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

test("what an attempt did is kept with its outcome", () => {
  const steps = [{ name: "preflight", state: "done", start: T0, end: T0 }] as const;
  for (const failure of [null, FAILURE]) {
    const step = stepBootstrap(running, { type: "ended", attempt: 3, failure, at: T1, steps });
    expect(step).toMatchObject({ state: { steps } });
  }
});
