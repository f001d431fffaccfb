import { describe, expect, test } from "vitest";

import { planVoters, type VoterView } from "#shared/placement/voters.ts";
import { epochMs } from "#shared/lib/time.ts";

/** Members are letters; the leader is `a`. Upper case: `joining`; those of `heirs` in another one's place. `behind` counts entries; `zones` names those of the members in order. */
interface Case {
  readonly members: string;
  readonly voters: string;
  readonly learners?: string;
  readonly outgoing?: string;
  readonly alive?: string;
  readonly dead?: string;
  readonly failed?: string;
  readonly leaving?: string;
  readonly heirs?: string;
  readonly zones?: string;
  readonly pool?: number;
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
  failed = "",
  leaving = "",
  heirs = "",
  zones = "",
  pool = 10,
  behind = {},
}: Case): VoterView {
  const peers = letters(members).map((name) => name.toLowerCase());
  return {
    self: "a",
    members: letters(members).map((name, i) => ({
      peer: name.toLowerCase(),
      uid: i + 1,
      status: name === name.toLowerCase() ? ("active" as const) : ("joining" as const),
      failedAt: failed.includes(name) ? epochMs(1) : null,
      rack_id: zones[i] ?? null,
      ...(heirs.includes(name.toLowerCase()) ? { tookOverAt: epochMs(1) } : {}),
    })),
    config: { voters: letters(voters), outgoing: letters(outgoing), learners: letters(learners) },
    alive: new Set(alive === undefined ? peers.filter((peer) => !dead.includes(peer)) : letters(alive)),
    dead: new Set(dead),
    leaving: new Set(leaving),
    poolSize: pool,
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
      "while somebody joins in the place of a voter, three stay three",
      { members: "abD", voters: "abc", heirs: "d", dead: "c" },
      null,
    ],
    [
      "also when that join has broken off and waits for the next",
      { members: "abD", voters: "abc", heirs: "d", failed: "D", dead: "cd" },
      null,
    ],
    ["then it is caught up", { members: "abd", voters: "abc", heirs: "d" }, "abc|d"],
    [
      "until it is, the vacant vote stays",
      { members: "abd", voters: "abc", learners: "d", heirs: "d", behind: { d: 101 } },
      null,
    ],
    ["and votes in its place", { members: "abd", voters: "abc", learners: "d", heirs: "d" }, "abd|"],
    [
      "another one that can vote does not wait for it",
      { members: "abDe", voters: "abc", heirs: "d" },
      "abc|e",
    ],
    [
      "a voter that has failed, but may come back, keeps its vote before a vacant one",
      { members: "abcF", voters: "abce", failed: "c", heirs: "f" },
      "abc|",
    ],
    [
      "of five with two vacant votes three go on, for all of them are alive",
      { members: "abcFG", voters: "abcde", heirs: "fg" },
      "abc|",
    ],
    ["of five with one vacant vote five go on", { members: "abcdF", voters: "abcde", heirs: "f" }, null],
    [
      "a vote of one that was taken out is not held for an heir elsewhere once it leaves",
      { members: "abD", voters: "abc", heirs: "d", leaving: "c" },
      "a|",
    ],
    ["nor for somebody who joins as a new member", { members: "abD", voters: "abc" }, "a|"],
    ["nor for a voter that joins anew itself", { members: "abC", voters: "abce", heirs: "c" }, "a|"],
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
    [
      "one of five is dead and nobody is left to follow it: five stay",
      { members: "abcde", voters: "abcde", dead: "e" },
      null,
    ],
    [
      "two of five are dead: the other three survive more alone",
      { members: "abcde", voters: "abcde", dead: "de" },
      "abc|",
    ],
    [
      "two of five are dead and one is spare: it takes the place of one",
      { members: "abcdef", voters: "abcde", learners: "f", dead: "de" },
      "abcfd|",
    ],
    [
      "one of three is dead, the fourth has failed: nothing",
      { members: "abcd", voters: "abc", dead: "c", failed: "d" },
      null,
    ],
    ["a failed member is no newcomer", { members: "abc", voters: "a", failed: "c" }, null],
    [
      "a failed voter gives way like a dead one",
      { members: "abcd", voters: "abc", learners: "d", failed: "c" },
      "abd|",
    ],
    ["a failed voter stays where nobody can follow it", { members: "abc", voters: "abc", failed: "c" }, null],
    ["a pool of one has one voter", { members: "abc", voters: "a", pool: 1 }, null],
    ["a pool of two has one voter and a standby", { members: "abc", voters: "a", pool: 2 }, null],
    ["a pool of four has three voters", { members: "abcde", voters: "abc", pool: 4 }, null],
    ["a pool that shrinks takes votes away", { members: "abcde", voters: "abcde", pool: 3 }, "abc|"],
    ["… those of the dead first", { members: "abcde", voters: "abcde", pool: 3, dead: "b" }, "acd|"],
    [
      "… but not while too few answer to agree",
      { members: "abcde", voters: "abcde", pool: 1, dead: "bcd" },
      null,
    ],
    ["… and the leader stays", { members: "abcde", voters: "abcde", pool: 2 }, "a|"],
    ["one that leaves gives way", { members: "abcd", voters: "abc", learners: "d", leaving: "c" }, "abd|"],
    ["of three of which one leaves one votes", { members: "abc", voters: "abc", leaving: "c" }, "a|"],
    [
      "a leader that leaves hands its only vote on",
      { members: "ab", voters: "a", learners: "b", leaving: "a" },
      "b|",
    ],
    ["the last one cannot leave", { members: "a", voters: "a", leaving: "a" }, null],
    ["newcomers come from other zones", { members: "abcde", voters: "a", zones: "xxxyz", pool: 3 }, "a|de"],
    [
      "of zones with equally many the oldest member",
      { members: "abcd", voters: "a", zones: "xxyy", pool: 3 },
      "a|cb",
    ],
    ["all in one zone: the oldest", { members: "abcd", voters: "a", zones: "xxxx" }, "a|bc"],
    [
      "a dead voter's successor comes from its zone's gap",
      { members: "abcde", voters: "abc", dead: "c", zones: "xyzxz", pool: 3 },
      "abc|e",
    ],
    ["a crowded zone gives up one vote", { members: "abcd", voters: "abc", zones: "xxxy" }, "abc|d"],
    [
      "… the youngest's, not the leader's",
      { members: "abcd", voters: "abc", learners: "d", zones: "xxxy" },
      "abd|",
    ],
    [
      "… nor when the leader is the youngest there",
      { members: "bcad", voters: "bca", learners: "d", zones: "xyxz" },
      "acd|",
    ],
    ["… and no more once it is even", { members: "abcd", voters: "abd", zones: "xxxy" }, null],
    ["… not while a voter is silent", { members: "abcd", voters: "abc", alive: "abd", zones: "xxxy" }, null],
    ["… not for the same crowd elsewhere", { members: "abcd", voters: "abc", zones: "xyzx" }, null],
    ["a removed leader goes too", { members: "bcd", voters: "abc", learners: "d", alive: "abcd" }, "bcd|"],
  ])("%s", (_what, input, expected) => {
    expect(plan(input)).toBe(expected);
  });
});
