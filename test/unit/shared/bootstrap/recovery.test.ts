import { describe, expect, test } from "vitest";

import {
  byNewestCopy,
  chooseCopy,
  planOf,
  type CopyInfo,
  type Survey,
  type Unseen,
  type Witness,
} from "#shared/bootstrap/recovery.ts";
import { isKind } from "#shared/errors/app-error.ts";
import { epochMs } from "#shared/lib/time.ts";
import { RegistryLog, makeCluster, makeMember } from "#test/support/registry-log.ts";

function copy(where: string, more: Partial<CopyInfo> = {}): CopyInfo {
  return {
    source: "agent",
    where,
    peer: `peer-of-${where}`,
    clusterId: "c1",
    clusterName: "my.cluster",
    incarnation: 1,
    term: 3,
    index: 100,
    at: epochMs(Date.UTC(2026, 0, 1)),
    ageMs: 60_000,
    ...more,
  };
}

const STORE = copy("this-host", { source: "store" });
const FILE = copy("/backups/b", { source: "file", peer: null, ageMs: null });

function witness(where: string, more: Partial<Witness> = {}): Witness {
  return { where, clusterId: "c1", incarnation: 1, leader: false, recovering: false, ...more };
}

function unseen(address: string, more: Partial<Unseen> = {}): Unseen {
  return { address, cause: "the connection was refused", denied: false, ...more };
}

function survey(copies: readonly CopyInfo[], more: Partial<Survey> = {}): Survey {
  const store = copies.find(({ source }) => source === "store");
  const own =
    store === undefined
      ? null
      : { clusterId: store.clusterId, incarnation: store.incarnation, leader: false };
  const agents = copies.filter(({ source }) => source === "agent");
  const witnesses = agents.map(({ where, clusterId, incarnation }) =>
    witness(where, { clusterId, incarnation }),
  );
  return { own, copies, witnesses, unseen: [], ...more };
}

const choose = (seen: Survey, request: { clusterName?: string; nodes?: readonly string[] } = {}) =>
  chooseCopy(seen, { nodes: [], ...request });

/** What is thrown for it, as `field: rule`. */
function refusal(seen: Survey, request: { clusterName?: string; nodes?: readonly string[] } = {}): string {
  try {
    choose(seen, request);
  } catch (error) {
    if (isKind(error, "config_error")) return `${error.facts.field}: ${error.facts.rule}`;
    if (isKind(error, "access_denied")) return `access_denied: ${error.message}`;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("the newest copy (Raft dissertation §3.6.1)", () => {
  test.each([
    ["a later incarnation", { incarnation: 2, term: 1, index: 1 }],
    ["a greater term, though it is shorter", { term: 4, index: 1 }],
    ["a greater index in the same term", { index: 101 }],
  ])("%s", (_what, more) => {
    const newer = copy("10.0.0.9", more);
    expect(byNewestCopy(newer, STORE)).toBeLessThan(0);
    const { chosen, candidates } = choose(survey([STORE, copy("10.0.0.2", { index: 1 }), newer]));
    expect(chosen).toBe(newer);
    expect(candidates.map(({ where }) => where)).toEqual(["10.0.0.9", "this-host", "10.0.0.2"]);
  });

  test("of equal ones this host's own: nothing has to be fetched", () => {
    expect(choose(survey([STORE, copy("10.0.0.2")])).chosen).toBe(STORE);
  });

  test("a file that was given is used, though others are newer", () => {
    const newer = copy("10.0.0.2", { index: 200 });
    expect(choose(survey([STORE, newer, FILE])).chosen).toBe(FILE);
  });
});

describe("the next incarnation", () => {
  test("follows that of the copy", () => {
    expect(choose(survey([copy("10.0.0.2", { incarnation: 4 })])).incarnation).toBe(5);
  });

  test("is later than this host's own, though the file is older", () => {
    const store = { ...STORE, incarnation: 3 };
    expect(choose(survey([store, FILE]))).toMatchObject({ chosen: FILE, incarnation: 4 });
  });
});

describe("refused while the cluster is not lost", () => {
  test("somebody knows a leader", () => {
    const seen = survey([STORE], { witnesses: [witness("10.0.0.2"), witness("10.0.0.3", { leader: true })] });
    expect(refusal(seen)).toMatch(/^action: 10\.0\.0\.3 knows a leader/);
  });

  test("somebody knows a leader, and gave no copy for that reason", () => {
    const seen = survey([], { witnesses: [witness("10.0.0.3", { leader: true })] });
    expect(refusal(seen, { nodes: ["10.0.0.3"] })).toMatch(/^action: 10\.0\.0\.3 knows a leader/);
  });

  test("this host knows one", () => {
    const own = { clusterId: "c1", incarnation: 1, leader: true };
    expect(refusal(survey([STORE], { own }))).toMatch(/^action: .*has a leader/);
  });

  test("somebody recovers it at this moment", () => {
    const seen = survey([STORE], { witnesses: [witness("10.0.0.2", { recovering: true })] });
    expect(refusal(seen)).toMatch(/^action: 10\.0\.0\.2 is recovering/);
  });

  test.each([STORE, FILE, copy("10.0.0.4")])("it was recovered already: $source", (chosen) => {
    const seen = survey([chosen], { witnesses: [witness("10.0.0.2", { incarnation: 2 })] });
    expect(refusal(seen)).toMatch(
      /^action: .*10\.0\.0\.2 of its incarnation 2.*join it with node\.identity\.uid/,
    );
  });

  test("a later incarnation that is lost as well is carried on, if its copy is to be had", () => {
    const later = copy("10.0.0.2", { incarnation: 2, lineage: "a" });
    expect(choose(survey([STORE, later]))).toMatchObject({ chosen: later, incarnation: 3 });
  });

  test("what another cluster says of itself is of no account, and it is named", () => {
    const foreign = witness("10.0.0.7", { clusterId: "c7", incarnation: 9, leader: true });
    const { leftOut } = choose(survey([STORE], { witnesses: [foreign] }));
    expect(leftOut).toEqual(["10.0.0.7 belongs to another cluster, c7"]);
  });
});

describe("copies of one cluster only", () => {
  const foreign = copy("10.0.0.7", { clusterId: "c7", clusterName: "other", index: 999 });

  test("another cluster's copy is left out, however new", () => {
    const { chosen, candidates } = choose(survey([STORE, foreign]));
    expect(chosen).toBe(STORE);
    expect(candidates).toEqual([STORE]);
  });

  test("named agents of two clusters: somebody has to say which", () => {
    expect(refusal(survey([copy("10.0.0.2"), foreign]), { nodes: ["10.0.0.2", "10.0.0.7"] })).toMatch(
      /^cluster\.nodes: .*10\.0\.0\.7.*10\.0\.0\.2/,
    );
  });

  test("a member is not overwritten by a backup of another cluster", () => {
    expect(refusal(survey([STORE, { ...FILE, clusterId: "c7" }]))).toMatch(/^recovery_filename: .*c7.*c1/);
    const own = { clusterId: "c1", incarnation: 1, leader: false }; // Its own copy cannot be read.
    expect(refusal(survey([{ ...FILE, clusterId: "c7" }], { own }))).toMatch(/^recovery_filename: /);
  });

  test("a cluster that was named is the one, or nothing is done", () => {
    expect(refusal(survey([STORE]), { clusterName: "other" })).toMatch(/^cluster\.name: .*my\.cluster/);
    expect(choose(survey([STORE]), { clusterName: "My.Cluster." }).chosen).toBe(STORE);
  });
});

describe("two recoveries that were made apart", () => {
  const a = copy("10.0.0.2", { incarnation: 2, lineage: "a", index: 500 });
  const b = copy("10.0.0.3", { incarnation: 2, lineage: "b", index: 900 });

  test("agents of both: somebody has to say which, for index and term compare nothing", () => {
    expect(refusal(survey([a, b]))).toMatch(/^cluster\.nodes: .*made apart/);
  });

  test("this host's own history is the one to go on with; the other is told as lost", () => {
    const own = { ...STORE, incarnation: 2, lineage: "a" };
    const { chosen, candidates, leftOut } = choose(survey([own, a, b]));
    expect(chosen).toBe(a);
    expect(candidates).toEqual([a, own]);
    expect(leftOut).toEqual([expect.stringMatching(/^10\.0\.0\.3 .*made apart.*lost$/)]);
  });
});

describe("nothing to recover from", () => {
  test("on a fresh host: all three ways are told", () => {
    const text = refusal(survey([]));
    expect(text).toMatch(/^recovery_filename: this host has no copy/);
    for (const way of ["was a member", "recovery_filename", "cluster.nodes"]) expect(text).toContain(way);
  });

  test("nobody answers at the named addresses: each with its cause", () => {
    expect(refusal(survey([], { unseen: [unseen("10.0.0.2")] }), { nodes: ["10.0.0.2"] })).toMatch(
      /^cluster\.nodes: .*10\.0\.0\.2: the connection was refused/,
    );
  });

  test("nobody accepts the credentials", () => {
    const denied = unseen("10.0.0.2", { denied: true, cause: "no" });
    expect(refusal(survey([], { unseen: [denied, unseen("10.0.0.3")] }), { nodes: ["10.0.0.2"] })).toMatch(
      /^access_denied: .*10\.0\.0\.2/,
    );
  });
});

describe("the plan", () => {
  const log = new RegistryLog();
  log.must(makeCluster());
  for (const n of [2, 3]) log.must({ type: "member.add", member: makeMember(n) });

  const plan = (seen: Survey) => planOf(choose(seen), log.state, { self: "peer-2", unseen: seen.unseen });

  test("says who this host will be, and who must join again", () => {
    expect(plan(survey([STORE]))).toMatchObject({
      chosen: STORE,
      incarnation: 2,
      uid: 2,
      rejoin: [
        { uid: 1, name: "tnt1.public.i" },
        { uid: 3, name: "tnt3.public.i" },
      ],
      unreachable: [],
      losses: [],
    });
  });

  test("tells whose copies were not seen: what only they had is lost", () => {
    const { losses, unreachable } = plan(survey([STORE], { unseen: [unseen("10.0.0.3")] }));
    expect(unreachable).toEqual([{ address: "10.0.0.3", cause: "the connection was refused" }]);
    expect(losses).toEqual([expect.stringContaining("10.0.0.3")]);
  });

  test("names no more than a few of many", () => {
    const many = Array.from({ length: 100 }, (_, i) => unseen(`host-${i}`));
    const { losses, unreachable } = plan(survey([STORE], { unseen: many }));
    expect(unreachable).toHaveLength(100);
    expect(losses.join()).toContain("and 68 more");
  });

  test("a file: how far it goes, and that a newer copy exists", () => {
    const newer = copy("10.0.0.2", { index: 200, at: epochMs(Date.UTC(2026, 0, 2)) });
    const { losses } = plan(survey([STORE, newer, FILE]));
    expect(losses).toEqual([
      expect.stringContaining("after 2026-01-01T00:00:00Z"),
      expect.stringMatching(/^10\.0\.0\.2 holds a newer copy, up to 2026-01-02T00:00:00Z/),
    ]);
  });
});
