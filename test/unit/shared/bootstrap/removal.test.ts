import { expect, test } from "vitest";

import { isRemoved, outlivedBy, type MembershipAnswer } from "#shared/bootstrap/removal.ts";

const own = (others: string, lostForMs = 0) => ({
  clusterId: "c",
  incarnation: 2,
  others: new Set(others.split("")),
  index: 100,
  lostForMs,
});

const say = (peer: string, more: Partial<MembershipAnswer> = {}): MembershipAnswer => ({
  peer,
  clusterId: "c",
  incarnation: 2,
  removedAt: 101,
  ...more,
});

const no = (peer: string): MembershipAnswer => say(peer, { removedAt: null });

test.each<[string, string, MembershipAnswer[], boolean]>([
  ["nobody answers", "abc", [], false],
  ["the only other member says so", "a", [say("a")], true],
  ["of two others one says so, the other is silent", "ab", [say("a")], false],
  ["of two others both say so", "ab", [say("a"), say("b")], true],
  ["of two others one says no", "ab", [say("a"), no("b")], false],
  ["two of four, the others are silent", "abcd", [say("a"), say("b")], true],
  ["two say so, two do not", "abcd", [say("a"), say("b"), no("c"), no("d")], false],
  ["three say so, one does not", "abcd", [say("a"), say("b"), say("c"), no("d")], true],
  ["one says so twice", "abc", [say("a"), say("a")], false],
  ["strangers say so", "abc", [say("a"), say("x"), say("y")], false],
  ["members of another cluster", "ab", [say("a"), say("b", { clusterId: "other" })], false],
  ["members of another incarnation", "ab", [say("a"), say("b", { incarnation: 3 })], false],
  ["a removal from before what it has seen of itself", "ab", [say("a"), say("b", { removedAt: 100 })], false],
  ["in a cluster of one nobody can", "", [say("a")], false],
])("%s", (_what, others, answers, expected) => {
  expect(isRemoved(own(others), answers)).toBe(expected);
});

test.each<[string, string, MembershipAnswer[], boolean]>([
  ["one says so, nobody else answers", "abc", [say("a")], true],
  ["one says so, another one says no", "abc", [say("a"), no("b")], false],
  ["nobody answers", "abc", [], false],
  ["a stranger says so", "abc", [say("x")], false],
])("after a minute without the cluster: %s", (_what, others, answers, expected) => {
  expect(isRemoved(own(others, 60_000), answers)).toBe(expected);
  expect(isRemoved(own(others, 59_999), answers)).toBe(false);
});

test.each<[string, string, MembershipAnswer[], string | null]>([
  ["nobody answers", "ab", [], null],
  ["members of this incarnation", "ab", [say("a"), no("b")], null],
  [
    "one member of a later one, though others are of this",
    "abc",
    [no("a"), say("b", { incarnation: 3 })],
    "b 3",
  ],
  ["several: the latest", "ab", [say("a", { incarnation: 3 }), say("b", { incarnation: 4 })], "b 4"],
  ["an earlier one", "ab", [say("a", { incarnation: 1 })], null],
  ["a stranger", "ab", [say("x", { incarnation: 3 })], null],
  ["another cluster", "ab", [say("a", { clusterId: "other", incarnation: 3 })], null],
])("outlived: %s", (_what, others, answers, expected) => {
  const by = outlivedBy(own(others), answers);
  expect(by === null ? null : `${by.peer} ${by.incarnation}`).toBe(expected);
});
