import { expect, test } from "vitest";

import { FakeClock } from "#test/support/fake-clock.ts";
import { answering } from "#agent/bootstrap/answering.ts";
import { NoClusterYet, type Contact } from "#agent/bootstrap/contact.ts";

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
  const answers = answering({ contact, clock: new FakeClock() }, ["dead", "a", "b"], 9443, never);
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
  for await (const { address, found } of answering(
    { contact, clock: new FakeClock() },
    ["a", "b"],
    9443,
    never,
  )) {
    told.push(`${address}: ${found instanceof Error ? found.message : "?"}`);
  }
  expect(told).toEqual(["a: a is away", "b: b is away"]);
});

test("only a few are asked at once, in the given order; one named twice is asked once", async () => {
  const { asked, contact } = slowly();
  const addresses = Array.from({ length: 20 }, (_, i) => `n${i}`);
  const answers = answering({ contact, clock: new FakeClock() }, ["n0", ...addresses], 9443, never);
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
  const answers = answering({ contact, clock: new FakeClock() }, ["a"], 9443, over.signal);
  await expect(answers.next()).rejects.toThrow("over");
});

test("an agent that is only about to have a cluster is asked again, for a few seconds", async () => {
  const clock = new FakeClock();
  let asked = 0;
  const soon: Contact = async (address) => {
    asked += 1;
    if (asked < 4) throw new NoClusterYet("not yet", "a");
    return { peer: address, meshAddrs: [] };
  };
  const found = answering({ contact: soon, clock }, ["a"], 9443, never).next();
  for (let i = 0; i < 4; i += 1) await clock.advance(250);
  expect((await found).value).toEqual({ address: "a", found: { peer: "a", meshAddrs: [] } });

  const nobody: Contact = async () => {
    throw new NoClusterYet("not yet", "a");
  };
  const given = answering({ contact: nobody, clock }, ["a"], 9443, never).next();
  for (let i = 0; i < 30; i += 1) await clock.advance(250);
  expect((await given).value).toMatchObject({ address: "a", found: { message: "not yet" } });
});

test("this host itself is never waited for, though it has no cluster either", async () => {
  const contact: Contact = async () => {
    throw new NoClusterYet("not yet", "me");
  };
  const found = await answering({ contact, clock: new FakeClock(), self: "me" }, ["a"], 9443, never).next();
  expect(found.value).toMatchObject({ address: "a", found: { message: "that is this host itself" } });
});
