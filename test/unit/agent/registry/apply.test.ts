import { expect, test } from "vitest";

import { StateMachine, type OnAnswer } from "#agent/registry/apply.ts";
import { IndexWaiters } from "#agent/registry/waiters.ts";
import { Watchers } from "#agent/registry/watch.ts";
import { stateHash } from "#shared/registry/fingerprint.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { RegistryLog } from "#test/support/registry-log.ts";

function machine(onAnswer: OnAnswer = () => undefined): StateMachine {
  const log = new RecordingLog();
  return new StateMachine(
    {
      log,
      watchers: new Watchers({ log }),
      waiters: new IndexWaiters({ clock: new FakeClock() }),
      onAnswer,
      onApplied: () => undefined,
    },
    { self: "peer-1", session: 1 },
  );
}

function zones(count: number): RegistryLog {
  const log = new RegistryLog();
  for (let n = 1; n <= count; n += 1) log.must({ type: "zone.create", name: `z${n}` });
  return log;
}

test("entries that a copy of the state holds already are passed over", () => {
  const one = machine();
  const log = zones(9);
  const early = zones(5);
  for (const entry of log.entries.slice(0, 3)) one.apply(entry);
  one.replace(early.state);
  for (const entry of log.entries.slice(3)) one.apply(entry);
  expect(one.halted).toBeNull();
  expect(one.hashAt(9)).toBe(stateHash(log.state));
});

test("in quarantine nothing is applied, and a copy ends it", () => {
  const one = machine();
  const { entries, state } = zones(3);
  one.quarantine("it differs");
  for (const entry of entries) one.apply(entry);
  expect([one.index, one.halted, one.quarantined]).toEqual([0, "it differs", true]);
  one.replace(state);
  expect([one.index, one.halted, one.quarantined]).toEqual([3, null, false]);
});

test("the hash is known now and at some indexes of before, the newest first", () => {
  const one = machine();
  for (const { entries } of [zones(200)]) for (const entry of entries) one.apply(entry);
  expect(one.points(8).map(({ index }) => index)).toEqual([200, 192, 128, 64]);
  expect(one.points(2).map(({ index }) => index)).toEqual([200, 192]);
  expect(one.hashAt(128)).toBe(stateHash(zones(128).state));
  expect(one.hashAt(130)).toBeNull();
});

test("an answer that is learnt from a copy is that of its entry, index included", () => {
  const told: number[][] = [];
  const log = zones(3);
  log.append("", "noop");
  machine((seq, index) => void told.push([seq, index])).replace(log.state);
  expect(told).toEqual([[3, 3]]);
});
