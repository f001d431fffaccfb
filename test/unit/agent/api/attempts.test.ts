import { describe, expect, test } from "vitest";

import { Attempts, backoffMs } from "#agent/api/auth/attempts.ts";
import { isKind } from "#shared/errors/app-error.ts";
import { LOGIN_SOURCES_MAX } from "#shared/lib/limits.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

describe("backoffMs", () => {
  test.each([
    [0, 0],
    [9, 0],
    [10, 1000],
    [11, 2000],
    [15, 32_000],
    [16, 60_000],
    [1_000_000, 60_000],
  ])("after %i failures, ten of them free: %i ms", (failures, ms) => {
    expect(backoffMs(failures, 10)).toBe(ms);
  });
});

function refused(attempts: Attempts, user: string, source: string): boolean {
  try {
    attempts.begin(user, source);
    return false;
  } catch (error) {
    if (isKind(error, "too_many_attempts")) return true;
    throw error;
  }
}

describe("Attempts", () => {
  test("logins that succeed never add up", () => {
    const attempts = new Attempts({ clock: new FakeClock() });
    for (let i = 0; i < 100; i += 1) attempts.begin("admin", "10.0.0.1").succeeded();
    expect(refused(attempts, "admin", "10.0.0.1")).toBe(false);
  });

  test("one's own success does not wipe out one's failures at another user", () => {
    const attempts = new Attempts({ clock: new FakeClock() });
    for (let i = 0; i < 10; i += 1) {
      attempts.begin("admin", "10.0.0.9");
      if (i < 9) attempts.begin("mallory", "10.0.0.9").succeeded();
    }
    expect(refused(attempts, "mallory", "10.0.0.9")).toBe(true);
  });

  test("the tables are bounded: the oldest source is forgotten", () => {
    const attempts = new Attempts({ clock: new FakeClock() });
    for (let i = 0; i < 10; i += 1) attempts.begin(`user-${i}`, "first");
    expect(refused(attempts, "x", "first")).toBe(true);
    for (let i = 0; i < LOGIN_SOURCES_MAX; i += 1) attempts.begin(`other-${i}`, `source-${i}`);
    expect(refused(attempts, "x", "first")).toBe(false);
  });
});
