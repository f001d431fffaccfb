import { expect, test } from "vitest";

import { epochMs } from "#shared/lib/time.ts";
import { rolesOf } from "#shared/placement/roles.ts";

/** Members are letters with uids from 1; upper case: `joining`. */
function roles(what: {
  readonly members: string;
  readonly voters: string;
  readonly leader?: string;
  readonly learners?: string;
  readonly dead?: string;
  readonly failed?: string;
  readonly zones?: string;
  readonly pool?: number;
}): string {
  const {
    members,
    voters,
    leader = "a",
    learners = "",
    dead = "",
    failed = "",
    zones = "",
    pool = 10,
  } = what;
  const found = rolesOf({
    members: members.split("").map((name, i) => ({
      peer: name.toLowerCase(),
      uid: i + 1,
      status: name === name.toLowerCase() ? "active" : "joining",
      failedAt: failed.includes(name) ? epochMs(1) : null,
      rack_id: zones[i] ?? null,
    })),
    config: { voters: voters.split(""), learners: learners.split("") },
    leader,
    isAlive: (peer) => !dead.includes(peer),
    poolSize: pool,
  });
  return members
    .split("")
    .map((name) => found.get(name.toLowerCase())?.[0] ?? "?")
    .join("");
}

// l: leader or learner; told apart by place: the leader is `a`.
test.each([
  ["voters, and all others stand by", { members: "abcde", voters: "abc" }, "lvvss"],
  ["the pool is full: the rest learns", { members: "abcdef", voters: "abc", pool: 4 }, "lvvsll"],
  ["a pool of two: one voter, one standby", { members: "abc", voters: "a", pool: 2 }, "lsl"],
  ["a pool that is smaller than the voters", { members: "abcd", voters: "abc", pool: 1 }, "lvvl"],
  [
    "joining, failed and dead members are no candidates",
    { members: "abcDef", voters: "abc", failed: "e", dead: "f" },
    "lvvlll",
  ],
  [
    "whoever is being caught up stands by first",
    { members: "abcde", voters: "abc", learners: "e", pool: 4 },
    "lvvls",
  ],
  [
    "standbys come from the zones with the fewest voters",
    { members: "abcde", voters: "abc", zones: "xyzxw", pool: 4 },
    "lvvls",
  ],
  ["a dead voter is still one", { members: "abc", voters: "abc", dead: "c" }, "lvv"],
])("%s", (_what, input, expected) => {
  expect(roles(input)).toBe(expected);
});

test("without a leader there are voters only", () => {
  expect(roles({ members: "abcd", voters: "abc", leader: "" })).toBe("vvvs");
});
