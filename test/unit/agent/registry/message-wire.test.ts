import { describe, expect, test } from "vitest";

import { decodeMessage, encodeMessage } from "#agent/registry/message-wire.ts";
import type { Wire } from "#agent/ports/transport.ts";
import type { Entry, Message } from "#shared/consensus/messages.ts";

const A = "peer-a";
const B = "peer-b";
const head = { from: A, to: B, term: 7 };
const CONFIG = { voters: [A, B], outgoing: [], learners: ["peer-c"] };

const entries: readonly Entry[] = [
  { index: 42, term: 6, kind: "config", data: JSON.stringify(CONFIG) },
  { index: 43, term: 7, kind: "noop", data: "" },
  { index: 44, term: 7, kind: "command", data: '{"a":"\\u2028 ä"}' },
];

/** One of each kind: a kind that is added and forgotten here does not compile. */
const ALL: { readonly [K in Message["type"]]: Extract<Message, { type: K }> } = {
  pre_vote: { type: "pre_vote", ...head, lastIndex: 9, lastTerm: 6 },
  pre_vote_answer: { type: "pre_vote_answer", ...head, granted: true, asked: 8 },
  vote: { type: "vote", ...head, lastIndex: 9, lastTerm: 6, transfer: false },
  vote_answer: { type: "vote_answer", ...head, granted: false },
  append: { type: "append", ...head, prevIndex: 41, prevTerm: 6, entries: [...entries], commit: 40 },
  append_answer: { type: "append_answer", ...head, ok: false, index: 12, hintTerm: 3 },
  commit: { type: "commit", ...head, commit: 40 },
  heartbeat: { type: "heartbeat", ...head, commit: 40, round: 11 },
  heartbeat_answer: { type: "heartbeat_answer", ...head, round: 11 },
  snapshot: { type: "snapshot", ...head, meta: { index: 40, term: 6, config: CONFIG } },
  timeout_now: { type: "timeout_now", ...head },
};

function travel(wire: Wire, from = A, to = B): Message | null {
  return decodeMessage(from, to, JSON.parse(JSON.stringify(wire)) as Wire);
}

describe("a consensus message on the wire", () => {
  test.each(Object.values(ALL))("$type arrives as it was", (message) => {
    expect(travel(encodeMessage(message))).toEqual(message);
  });

  test.each(Object.values(ALL))("$type does not say who speaks to whom", (message) => {
    const wire = JSON.parse(JSON.stringify(encodeMessage(message))) as object;
    expect("from" in wire || "to" in wire).toBe(false);
    expect(travel(encodeMessage(message), "peer-x", "peer-y")).toMatchObject({
      from: "peer-x",
      to: "peer-y",
    });
  });

  test("an append without entries, the first of a log included", () => {
    const message: Message = { ...ALL.append, prevIndex: 0, prevTerm: 0, entries: [] };
    expect(travel(encodeMessage(message))).toEqual(message);
  });

  test.each<[string, Wire]>([
    ["nothing", null],
    ["a text", "h"],
    ["an empty list", []],
    ["a letter nobody has", ["z", 1]],
    ["a list that is too short", ["h", 1]],
    ["a text for a number", ["h", "1", 2, 3]],
    ["a negative index", ["c", 1, -1]],
    ["a fraction", ["c", 1, 1.5]],
    ["entries that are none", ["a", 1, 0, 0, 0, "many"]],
    ["an entry that is none", ["a", 1, 0, 0, 0, [null]]],
    ["an entry of no known kind", ["a", 1, 0, 0, 0, [[1, 9, ""]]]],
    ["an entry at no place", ["a", 1, "x", 0, 0, [[1, 1, ""]]]],
    ["a kind nobody has", { type: "coup", term: 1 }],
    ["the name of something every object has", ["constructor", 1]],
    ["somebody who speaks for another", { ...ALL.vote_answer, from: "peer-z" }],
    ["somebody who speaks to another", { type: "timeout_now", term: 1, to: "peer-z" }],
  ])("%s is none", (_name, body) => {
    expect(travel(body)).toBeNull();
  });
});
