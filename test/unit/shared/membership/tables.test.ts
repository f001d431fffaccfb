import { describe, expect, test } from "vitest";

import { LocalHealth } from "#shared/membership/health.ts";
import { outranks, type Status } from "#shared/membership/merge.ts";
import { repeatsMax, Rumours } from "#shared/membership/rumours.ts";
import { confirmationsWanted, Suspicion, suspicionMs } from "#shared/membership/suspicion.ts";

describe("precedence (SWIM, section 4.2)", () => {
  const at = (incarnation: number, status: Status) => ({ incarnation, status });

  test.each([
    [at(1, "alive"), at(1, "alive"), false],
    [at(1, "suspect"), at(1, "alive"), true],
    [at(1, "alive"), at(1, "suspect"), false],
    [at(1, "suspect"), at(1, "suspect"), false],
    [at(1, "dead"), at(1, "suspect"), true],
    [at(1, "suspect"), at(1, "dead"), false],
    [at(1, "dead"), at(1, "alive"), true],
    [at(1, "alive"), at(1, "dead"), false],
    [at(1, "left"), at(1, "dead"), true],
    [at(1, "dead"), at(1, "left"), false],
    // The member itself spoke: whatever was said of an older incarnation is over, and the other way round.
    [at(2, "alive"), at(1, "dead"), true],
    [at(2, "alive"), at(1, "left"), true],
    [at(2, "suspect"), at(1, "left"), true],
    [at(1, "left"), at(2, "alive"), false],
    [at(1, "dead"), at(2, "alive"), false],
  ])("%j replaces %j: %s", (news, held, expected) => {
    expect(outranks(news, held)).toBe(expected);
  });
});

describe("how long a suspect may take (Lifeguard, section IV-B)", () => {
  test.each([
    // Below four members there are no two further accusers to wait for.
    [{ members: 2, confirmations: 0, connectionLost: false }, 4000],
    [{ members: 3, confirmations: 0, connectionLost: false }, 4000],
    [{ members: 3, confirmations: 0, connectionLost: true }, 2000],
    [{ members: 10, confirmations: 0, connectionLost: false }, 24_000],
    [{ members: 10, confirmations: 1, connectionLost: false }, 11_382],
    [{ members: 10, confirmations: 2, connectionLost: false }, 4000],
    [{ members: 10, confirmations: 2, connectionLost: true }, 2000],
    [{ members: 10, confirmations: 0, connectionLost: true }, 12_000],
    [{ members: 100, confirmations: 2, connectionLost: false }, 8000],
    [{ members: 1000, confirmations: 2, connectionLost: false }, 12_000],
    [{ members: 1000, confirmations: 0, connectionLost: false }, 72_000],
  ])("%j: %i ms", (given, expected) => {
    expect(suspicionMs(given)).toBe(expected);
  });

  test.each([
    [2, 0],
    [3, 0],
    [4, 2],
    [100, 2],
  ])("%i members: %i further accusers shorten it", (members, expected) => {
    expect(confirmationsWanted(members)).toBe(expected);
  });

  test("only new accusers count, and no more than are wanted", () => {
    const suspicion = new Suspicion("a", 1000);
    expect(suspicion.confirm("a", 10)).toBe(false);
    expect(suspicion.confirm("b", 10)).toBe(true);
    expect(suspicion.confirm("b", 10)).toBe(false);
    expect(suspicion.expired(1000 + 11_381, 10, false)).toBe(false);
    expect(suspicion.expired(1000 + 11_382, 10, false)).toBe(true);
    expect(suspicion.confirm("c", 10)).toBe(true);
    expect(suspicion.confirm("d", 10)).toBe(false);
    expect(suspicion.confirmations).toBe(2);
    expect(suspicion.expired(1000 + 4000, 10, false)).toBe(true);
    suspicion.postpone(500);
    expect(suspicion.expired(1000 + 4000, 10, false)).toBe(false);
  });
});

test("local health stays between 0 and 8", () => {
  const health = new LocalHealth();
  health.better();
  expect([health.score, health.stretch]).toEqual([0, 1]);
  health.worse(3);
  health.worse();
  expect([health.score, health.stretch]).toEqual([4, 5]);
  health.worse(100);
  expect(health.score).toBe(8);
  health.better();
  expect(health.score).toBe(7);
});

describe("rumours", () => {
  const rumour = (peer: string, status: Status, incarnation = 1, by = "x") => ({
    peer,
    status,
    incarnation,
    by,
  });

  test.each([
    [2, 4],
    [9, 4],
    [10, 8],
    [99, 8],
    [1000, 16],
  ])("among %i members each is told %i times", (members, times) => {
    expect(repeatsMax(members)).toBe(times);
    const rumours = new Rumours();
    rumours.add(rumour("a", "alive"));
    for (let i = 0; i < times; i += 1) expect(rumours.take(5, members)).toHaveLength(1);
    expect(rumours.take(5, members)).toEqual([]);
    expect(rumours.size).toBe(0);
  });

  test("the least told go first", () => {
    const rumours = new Rumours();
    rumours.add(rumour("a", "alive"));
    rumours.take(1, 10);
    rumours.add(rumour("b", "dead"));
    expect(rumours.take(1, 10)).toEqual([rumour("b", "dead")]);
  });

  test("a newer one replaces the older; accusers of one incarnation stand beside each other", () => {
    const rumours = new Rumours();
    rumours.add(rumour("a", "alive", 1));
    rumours.add(rumour("a", "suspect", 1, "x"));
    rumours.add(rumour("a", "suspect", 1, "y"));
    expect(rumours.take(9, 10)).toEqual([rumour("a", "suspect", 1, "x"), rumour("a", "suspect", 1, "y")]);
    rumours.add(rumour("a", "suspect", 2, "z"));
    expect(rumours.take(9, 10)).toEqual([rumour("a", "suspect", 2, "z")]);
    rumours.add(rumour("a", "alive", 3));
    rumours.add(rumour("b", "alive", 1));
    expect(rumours.take(9, 10)).toEqual([rumour("a", "alive", 3), rumour("b", "alive", 1)]);
    rumours.forget("a");
    expect(rumours.take(9, 10)).toEqual([rumour("b", "alive", 1)]);
  });
});
