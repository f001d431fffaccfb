import { expect, test } from "vitest";

import { FailedProofs } from "#agent/bootstrap/failed-proofs.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

const LIMITS = { perPeer: 3, overall: 5, windowMs: 60_000 };

test("a peer that fails too often waits for the rest of the window; others do not", async () => {
  const clock = new FakeClock();
  const failed = new FailedProofs({ clock }, LIMITS);
  for (let i = 0; i < 3; i += 1) {
    expect(failed.waitS("a")).toBe(0);
    failed.add("a");
    await clock.advance(1000);
  }
  expect(failed.waitS("a")).toBe(57);
  expect(failed.waitS("b")).toBe(0);
  await clock.advance(56_999);
  expect(failed.waitS("a")).toBe(1);
  await clock.advance(1);
  expect(failed.waitS("a")).toBe(0);
});

test("all together wait when strangers fail under ever new peer ids", async () => {
  const clock = new FakeClock();
  const failed = new FailedProofs({ clock }, LIMITS);
  for (let i = 0; i < 5; i += 1) failed.add(`peer-${i}`);
  expect(failed.waitS("someone new")).toBe(60);
  await clock.advance(60_000);
  expect(failed.waitS("someone new")).toBe(0);
});

test("a window starts anew with the first failure after it", async () => {
  const clock = new FakeClock();
  const failed = new FailedProofs({ clock }, LIMITS);
  for (let i = 0; i < 3; i += 1) failed.add("a");
  await clock.advance(60_000);
  failed.add("a");
  expect(failed.waitS("a")).toBe(0);
});

test("only so many peers are remembered", () => {
  const failed = new FailedProofs({ clock: new FakeClock() }, { perPeer: 1, overall: 1e9, windowMs: 60_000 });
  for (let i = 0; i < 1025; i += 1) failed.add(`peer-${i}`);
  expect(failed.waitS("peer-0")).toBe(0);
  expect(failed.waitS("peer-1")).toBe(60);
  expect(failed.waitS("peer-1024")).toBe(60);
});
