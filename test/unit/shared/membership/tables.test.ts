import { describe, expect, test } from "vitest";

import { Prng } from "#shared/lib/prng.ts";
import { BUCKETS, BucketHashes, bucketOf } from "#shared/membership/bucket-hashes.ts";
import { Disagreement } from "#shared/membership/disagreement.ts";
import { DrawSet } from "#shared/membership/draw-set.ts";
import { LocalHealth } from "#shared/membership/health.ts";
import { outranks, type Status } from "#shared/membership/merge.ts";
import type { Rumour } from "#shared/membership/messages.ts";
import { repeatsMax, Rumours } from "#shared/membership/rumours.ts";
import { MemberTable } from "#shared/membership/table.ts";
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
    [{ members: 2, confirmations: 0, connectionLost: false }, 3302],
    [{ members: 3, confirmations: 0, connectionLost: false }, 3478],
    [{ members: 3, confirmations: 0, connectionLost: true }, 1739],
    [{ members: 10, confirmations: 0, connectionLost: false }, 24_000],
    [{ members: 10, confirmations: 1, connectionLost: false }, 11_382],
    [{ members: 10, confirmations: 2, connectionLost: false }, 4000],
    [{ members: 10, confirmations: 2, connectionLost: true }, 2000],
    [{ members: 10, confirmations: 0, connectionLost: true }, 12_000],
    [{ members: 100, confirmations: 2, connectionLost: false }, 5000],
    [{ members: 1000, confirmations: 2, connectionLost: false }, 6000],
    [{ members: 1000, confirmations: 0, connectionLost: false }, 36_000],
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
  const rumour = (peer: string, status: Status, incarnation = 1, by = "x"): Rumour =>
    status === "suspect" ? { peer, status, incarnation, by } : { peer, status, incarnation };

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
    expect(rumours.waiting).toBe(false);
  });

  test("the least told go first", () => {
    const rumours = new Rumours();
    rumours.add(rumour("a", "alive"));
    rumours.take(1, 10);
    rumours.add(rumour("b", "dead"));
    expect(rumours.take(1, 10)).toEqual([rumour("b", "dead")]);
  });

  test("those told equally often go in the order in which they came", () => {
    const rumours = new Rumours();
    for (const peer of ["a", "b", "c"]) rumours.add(rumour(peer, "alive"));
    const taken = [1, 2, 3].map((count) => rumours.take(count, 10).map(({ peer }) => peer));
    expect(taken).toEqual([["a"], ["b", "c"], ["a", "b", "c"]]);
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

describe("fingerprints of a table", () => {
  test("equal for equal tables in any order of events, of 64 parts of which only those that differ are named", () => {
    const one = new BucketHashes();
    const other = new BucketHashes();
    const keys = Array.from({ length: 500 }, (_, i) => `host-${i}`);
    for (const key of keys) one.set(key, "alive 1");
    for (const key of keys.toReversed()) {
      other.set(key, "dead 7");
      other.set(key, "alive 1");
    }
    other.set("gone", "alive 1");
    expect(other.differing(one.buckets)).toEqual([bucketOf("gone")]);
    expect(other.whole).not.toBe(one.whole);
    other.set("gone", null);
    expect([other.whole, other.buckets]).toEqual([one.whole, one.buckets]);
    expect(other.differing(one.buckets)).toEqual([]);
    other.set("host-3", "alive 2");
    expect(one.differing(other.buckets)).toEqual([bucketOf("host-3")]);
  });

  test("hosts spread evenly over the parts", () => {
    const sizes = Array.from({ length: BUCKETS }, () => 0);
    for (let i = 0; i < 6400; i += 1) {
      const bucket = bucketOf(`12D3KooW${i}`);
      sizes[bucket] = (sizes[bucket] ?? 0) + 1;
    }
    expect(Math.min(...sizes)).toBeGreaterThan(60);
    expect(Math.max(...sizes)).toBeLessThan(150);
  });
});

describe("when a difference is worth an exchange", () => {
  test("when it lasts for 2 s, and at most every 5 s", () => {
    const disagreement = new Disagreement();
    expect(disagreement.seen(false, 1000)).toBe(false);
    expect(disagreement.seen(false, 2900)).toBe(false);
    expect(disagreement.seen(true, 2950)).toBe(false);
    expect(disagreement.seen(false, 3000)).toBe(false);
    expect(disagreement.seen(false, 5000)).toBe(true);
    expect(disagreement.seen(false, 9900)).toBe(false);
    expect(disagreement.seen(false, 10_000)).toBe(true);
  });

  test("with one that returns at once, and at most every second", () => {
    const disagreement = new Disagreement();
    expect([0, 900, 1000, 1500].map((nowMs) => disagreement.returned(nowMs))).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });
});

describe("whose turn it is to be probed (SWIM, section 4.3)", () => {
  const ids = Array.from({ length: 9 }, (_, i) => `host-${i}`);
  const tables = (): MemberTable[] =>
    ids.map((id, i) => {
      const table = new MemberTable(id, () => 0);
      // In whatever order they heard of each other.
      table.replace([...ids.slice(i), ...ids.slice(0, i)]);
      return table;
    });

  test("in every turn each member is probed exactly once by all together, and never by itself", () => {
    const all = tables();
    for (let turn = 1_800_000_000; turn < 1_800_000_020; turn += 1) {
      const targets = all.map((table) => table.targetIn(turn));
      expect(new Set(targets)).toEqual(new Set(ids));
      for (const [i, target] of targets.entries()) expect(target).not.toBe(ids[i]);
    }
  });

  test("each agent comes round to everybody, also as members die", () => {
    const [table] = tables() as [MemberTable];
    const round = (from: number, length: number): string[] =>
      Array.from({ length }, (_, i) => table.targetIn(from + i) ?? "nobody");
    expect(round(100, 8).toSorted()).toEqual(ids.slice(1));
    table.put({ peer: "host-3", status: "suspect", incarnation: 1, by: "host-4" }, 0);
    expect(round(200, 8)).toContain("host-3");
    table.put({ peer: "host-3", status: "dead", incarnation: 1 }, 0);
    expect(round(300, 7).toSorted()).toEqual(ids.slice(1).filter((id) => id !== "host-3"));
    table.put({ peer: "host-3", status: "alive", incarnation: 2 }, 0);
    expect(round(400, 8).toSorted()).toEqual(ids.slice(1));
  });

  test("alone there is nobody to probe", () => {
    const table = new MemberTable("a", () => 0);
    table.replace(["a"]);
    expect(table.targetIn(7)).toBeNull();
  });
});

describe("members drawn at random", () => {
  test("each as often as any other, none twice, never the one left out", () => {
    const prng = new Prng(3);
    const set = new DrawSet(() => prng.next());
    for (const peer of ["a", "b", "c", "d", "gone"]) set.mark(peer, true);
    set.mark("gone", false);
    set.mark("a", true);
    const counts = new Map<string, number>();
    for (let i = 0; i < 3000; i += 1) {
      const drawn = set.draw(2, "d");
      expect(new Set(drawn).size).toBe(2);
      for (const peer of drawn) counts.set(peer, (counts.get(peer) ?? 0) + 1);
    }
    expect([...counts.keys()].toSorted()).toEqual(["a", "b", "c"]);
    for (const count of counts.values()) expect(Math.abs(count - 2000)).toBeLessThan(150);
    expect([set.size, set.draw(9, null).length, set.draw(9, "a").length]).toEqual([4, 4, 3]);
  });
});
