import { beforeEach, expect, test } from "vitest";

import { CommitNews } from "#agent/registry/commit-news.ts";
import type { Message } from "#shared/consensus/messages.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

let clock: FakeClock;
let sent: string[];
let news: CommitNews;

beforeEach(() => {
  clock = new FakeClock();
  sent = [];
  const send = (message: Message): void => {
    sent.push(`${message.type} ${"commit" in message ? message.commit : ""} to ${message.to}`);
  };
  news = new CommitNews({ clock, send });
});

const commit = (to: string, index: number): Message => ({
  type: "commit",
  from: "l",
  to,
  term: 1,
  commit: index,
});
const append = (to: string, index: number): Message => {
  return { type: "append", from: "l", to, term: 1, prevIndex: 0, prevTerm: 0, entries: [], commit: index };
};

test("news that nobody waits for is held back for a moment", async () => {
  news.send(commit("a", 5));
  expect(sent).toEqual([]);
  await clock.advance(2);
  expect(sent).toEqual(["commit 5 to a"]);
});

test("an append says it instead, and only to its own follower", async () => {
  news.send(commit("a", 5));
  news.send(commit("b", 5));
  news.send(append("a", 5));
  await clock.advance(2);
  expect(sent).toEqual(["append 5 to a", "commit 5 to b"]);
});

test("an append that says less does not take its place", async () => {
  news.send(commit("a", 5));
  news.send(append("a", 4));
  await clock.advance(2);
  expect(sent).toEqual(["append 4 to a", "commit 5 to a"]);
});

test("newer news waits its own moment, and the older one is not sent any more", async () => {
  news.send(commit("a", 5));
  await clock.advance(1);
  news.send(commit("a", 6));
  await clock.advance(1);
  expect(sent).toEqual([]);
  await clock.advance(2);
  expect(sent).toEqual(["commit 6 to a"]);
});

test("who waits for an index is told at once, once", async () => {
  news.awaited("a", 6);
  news.send(commit("a", 5));
  expect(sent).toEqual([]);
  news.send(commit("a", 6));
  expect(sent).toEqual(["commit 6 to a"]);
  news.send(commit("a", 7));
  await clock.advance(1);
  expect(sent).toHaveLength(1);
});

test("whoever begins to wait hears what was held back", () => {
  news.send(commit("a", 5));
  news.awaited("a", 6);
  expect(sent).toEqual([]);
  news.awaited("a", 5);
  expect(sent).toEqual(["commit 5 to a"]);
});

test("after the end nothing leaves", async () => {
  news.send(commit("a", 5));
  news.drop();
  await clock.advance(5);
  expect(sent).toEqual([]);
});
