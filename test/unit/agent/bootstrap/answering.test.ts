import { expect, test } from "vitest";

import { answering } from "#agent/bootstrap/answering.ts";
import type { Contact } from "#agent/bootstrap/contact.ts";

const never = new AbortController().signal;

/** Addresses that answer when the test says so. */
function slowly() {
  const asked = new Map<string, { answer: PromiseWithResolvers<void>; signal: AbortSignal }>();
  const contact: Contact = async (address, _port, signal) => {
    const answer = Promise.withResolvers<void>();
    asked.set(address, { answer, signal });
    await answer.promise;
    return { peer: `peer of ${address}`, meshAddrs: [] };
  };
  return { asked, contact };
}

test("the first to answer comes first, and a dead one holds up nobody", async () => {
  const { asked, contact } = slowly();
  const answers = answering(contact, ["dead", "a", "b"], 9443, never);
  const first = answers.next();
  asked.get("b")?.answer.resolve();
  expect((await first).value).toMatchObject({ address: "b", found: { peer: "peer of b" } });
  const second = answers.next();
  asked.get("a")?.answer.resolve();
  expect((await second).value).toMatchObject({ address: "a" });
  await answers.return();
  expect(asked.get("dead")?.signal.aborted).toBe(true);
});

test("a failure is told like an answer, and the end comes after all of them", async () => {
  const contact: Contact = (address) => Promise.reject(new Error(`${address} is away`));
  const told: string[] = [];
  for await (const { address, found } of answering(contact, ["a", "b"], 9443, never)) {
    told.push(`${address}: ${found instanceof Error ? found.message : "?"}`);
  }
  expect(told).toEqual(["a: a is away", "b: b is away"]);
});

test("only a few are asked at once, in the given order; one named twice is asked once", async () => {
  const { asked, contact } = slowly();
  const addresses = Array.from({ length: 20 }, (_, i) => `n${i}`);
  const answers = answering(contact, ["n0", ...addresses], 9443, never);
  const first = answers.next();
  expect([...asked.keys()]).toEqual(addresses.slice(0, 8));
  asked.get("n3")?.answer.resolve();
  await first;
  const second = answers.next();
  expect([...asked.keys()]).toEqual(addresses.slice(0, 9));
  asked.get("n0")?.answer.resolve();
  await second;
  await answers.return();
});

test("an attempt that is over ends it", async () => {
  const over = new AbortController();
  const contact: Contact = async () => {
    over.abort(new Error("over"));
    throw new Error("away");
  };
  const answers = answering(contact, ["a"], 9443, over.signal);
  await expect(answers.next()).rejects.toThrow("over");
});
