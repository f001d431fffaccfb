import { describe, expect, test } from "vitest";

import { Prng } from "#shared/lib/prng.ts";
import { planVoters, votersWanted, type VoterView } from "#shared/placement/voters.ts";

/** Members are letters; the leader is `a`. Upper case: `joining`. `behind` counts entries. */
interface Case {
  readonly members: string;
  readonly voters: string;
  readonly learners?: string;
  readonly outgoing?: string;
  readonly alive?: string;
  readonly dead?: string;
  readonly behind?: Readonly<Record<string, number>>;
}

const LAST = 1000;

const letters = (text: string): string[] => text.split("");

function view({
  members,
  voters,
  learners = "",
  outgoing = "",
  alive,
  dead = "",
  behind = {},
}: Case): VoterView {
  const peers = letters(members).map((name) => name.toLowerCase());
  return {
    self: "a",
    members: letters(members).map((name, i) => ({
      peer: name.toLowerCase(),
      uid: i + 1,
      status: name === name.toLowerCase() ? ("active" as const) : ("joining" as const),
    })),
    config: { voters: letters(voters), outgoing: letters(outgoing), learners: letters(learners) },
    alive: new Set(alive === undefined ? peers.filter((peer) => !dead.includes(peer)) : letters(alive)),
    dead: new Set(dead),
    progress: new Map(
      letters(voters + learners).map((peer) => [
        peer,
        { match: LAST - (behind[peer] ?? 0), active: alive?.includes(peer) ?? !dead.includes(peer) },
      ]),
    ),
    lastIndex: LAST,
  };
}

const plan = (what: Case): string | null => {
  const result = planVoters(view(what));
  return result === null ? null : `${result.voters.join("")}|${result.learners.join("")}`;
};

test.each([
  [0, 1],
  [1, 1],
  [2, 1],
  [3, 3],
  [4, 3],
  [5, 5],
  [6, 5],
  [100, 5],
])("%d active members want %d voters", (active, voters) => {
  expect(votersWanted(active)).toBe(voters);
});

describe("planVoters", () => {
  test.each<[string, Case, string | null]>([
    ["one member", { members: "a", voters: "a" }, null],
    ["two members keep one voter", { members: "ab", voters: "a" }, null],
    ["joining members are no candidates", { members: "aBC", voters: "a" }, null],
    ["at three, the others are caught up first", { members: "abc", voters: "a" }, "a|bc"],
    [
      "while one is behind, nobody votes yet",
      { members: "abc", voters: "a", learners: "bc", behind: { c: 101 } },
      null,
    ],
    [
      "then both begin to vote at once",
      { members: "abc", voters: "a", learners: "bc", behind: { c: 100 } },
      "abc|",
    ],
    [
      "a third one that does not answer is not waited for",
      { members: "abc", voters: "a", alive: "ab" },
      null,
    ],
    ["a learner that is gone is dropped", { members: "abc", voters: "a", learners: "bc", alive: "ab" }, "a|"],
    ["a fourth stands by", { members: "abcd", voters: "abc" }, null],
    ["five vote, two more are caught up", { members: "abcde", voters: "abc" }, "abc|de"],
    ["a dead voter's successor is caught up", { members: "abcd", voters: "abc", dead: "c" }, "abc|d"],
    [
      "then it takes the dead one's place",
      { members: "abcd", voters: "abc", learners: "d", dead: "c" },
      "abd|",
    ],
    ["one that is silent, but not for long, stays", { members: "abcd", voters: "abc", alive: "abd" }, null],
    ["without a successor a dead voter stays", { members: "abc", voters: "abc", dead: "c" }, null],
    ["a joining member succeeds nobody", { members: "abcD", voters: "abc", dead: "c" }, null],
    [
      "nothing without a majority of the present voters",
      { members: "abcd", voters: "abc", dead: "bc" },
      null,
    ],
    ["nothing while a change is under way", { members: "abcde", voters: "abc", outgoing: "a" }, null],
    ["a removed voter's successor is caught up", { members: "abd", voters: "abc" }, "abc|d"],
    ["a removed voter gives way", { members: "abd", voters: "abc", learners: "d" }, "abd|"],
    ["of two that are left one votes", { members: "ab", voters: "abc" }, "a|"],
    [
      "four of five are left: three vote, the dead one not",
      { members: "abcd", voters: "abcde", dead: "b" },
      "acd|",
    ],
    [
      "a voter that joins anew has lost its log and votes no more",
      { members: "abCd", voters: "abc" },
      "abc|d",
    ],
    ["a removed leader goes too", { members: "bcd", voters: "abc", learners: "d", alive: "abcd" }, "bcd|"],
  ])("%s", (_what, input, expected) => {
    expect(plan(input)).toBe(expected);
  });

  test("carried out again and again it comes to rest, at an odd number, and never at a dead majority", () => {
    const random = new Prng(11);
    for (let round = 0; round < 2000; round += 1) {
      const names = letters("abcdefgh").slice(0, random.between(1, 8));
      const dead = names.filter((name) => name !== "a" && random.chance(0.2)).join("");
      let voters = ["a", ...names.filter((name) => name !== "a" && random.chance(0.5))].slice(0, 5).join("");
      let learners = "";
      for (let step = 0; ; step += 1) {
        expect(step).toBeLessThan(5);
        const next = planVoters(view({ members: names.join(""), voters, learners, dead }));
        if (next === null) break;
        const living = next.voters.filter((peer) => !dead.includes(peer)).length;
        expect(living).toBeGreaterThan(next.voters.length / 2);
        expect(next.voters).toContain("a");
        [voters, learners] = [next.voters.join(""), next.learners.join("")];
      }
    }
  });
});
