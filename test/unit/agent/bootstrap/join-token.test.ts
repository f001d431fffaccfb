import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { FakeHost, FOUNDER, proofs } from "./fake-host.ts";
import { CUT } from "./fake-strangers.ts";
import { attempt, failure, JoinBed, joinWith } from "./join-bed.ts";
import { decodeToken, encodeToken } from "#agent/bootstrap/token.ts";
import type { Wire } from "#agent/ports/transport.ts";

const saying = (message: RegExp) => ({ message: expect.stringMatching(message) });

let bed: JoinBed;
let joiner: FakeHost;
beforeEach(async () => {
  bed = await JoinBed.make();
  joiner = await bed.newcomer("12D3KooWJoiner");
});
afterEach(() => bed[Symbol.asyncDispose]());

const members = (): number => bed.registry.state.members.size;

describe("with a token", () => {
  test("a host joins without a password, an address or a name", async () => {
    const { id, token } = await bed.token();
    expect(await attempt(joiner, joinWith({ token }))).toMatchObject({ name: "completed" });
    expect(joiner.driver.uid).toBe(2);
    expect(bed.registry.state.tokens.get(id)).toMatchObject({ usedBy: joiner.peer });
    expect(joiner.disk.durable.cluster).toMatchObject({
      clusterId: bed.registry.state.cluster?.id,
      contacts: [{ peer: FOUNDER }],
    });
  });

  test("its secret is said to nobody, kept by nobody and logged by nobody", async () => {
    const { token } = await bed.token();
    const said: Wire[] = [];
    bed.strangers.meddle = ({ body }) => {
      said.push(body);
      return body;
    };
    await attempt(joiner, joinWith({ token }));
    expect(said).toHaveLength(5);
    const everything = JSON.stringify([
      said,
      joiner.disk.durable,
      joiner.log.lines,
      bed.founder.disk.durable,
      bed.founder.log.lines,
      [...bed.registry.state.tokens],
    ]);
    const { secret } = decodeToken(token);
    for (const hidden of [token, token.slice(8, 60), secret, secret.slice(0, 20)]) {
      expect(everything).not.toContain(hidden);
    }
  });

  test("a second host is refused, and told who has used it", async () => {
    const { token } = await bed.token();
    await attempt(joiner, joinWith({ token }));
    const other = await bed.newcomer("12D3KooWOther");
    expect(await attempt(other, joinWith({ token }))).toMatchObject(
      failure("access_denied", saying(/used by host-Joiner already/)),
    );
    expect(members()).toBe(2);
  });

  test.each([1, 2, 3, 4, 5])("two at once, try %i: exactly one gets in, the other is told why", async () => {
    const { token } = await bed.token();
    const other = await bed.newcomer("12D3KooWOther");
    const ends = await Promise.all([joiner, other].map((host) => attempt(host, joinWith({ token }))));
    expect(ends.map(({ name }) => name).toSorted()).toEqual(["completed", "error"]);
    expect(ends.find(({ name }) => name === "error")).toMatchObject(
      failure("access_denied", saying(/was used by/)),
    );
    expect(members()).toBe(2);
  });

  test("both proven before either is committed: the registry decides", async () => {
    const { token } = await bed.token();
    const other = await bed.newcomer("12D3KooWOther");
    const submit = bed.registry.submit.bind(bed.registry);
    const both = Promise.withResolvers<void>();
    let waiting = 0;
    bed.registry.submit = async (...args) => {
      waiting += 1;
      if (waiting === 2) both.resolve();
      await both.promise;
      return submit(...args);
    };
    const ends = await Promise.all([joiner, other].map((host) => attempt(host, joinWith({ token }))));
    expect(ends.map(({ name }) => name).toSorted()).toEqual(["completed", "error"]);
    expect(ends.find(({ name }) => name === "error")).toMatchObject(
      failure("access_denied", saying(/was used by host-\w+ already/)),
    );
    expect(members()).toBe(2);
  });

  test("whose join broke off may come again with it, and gets the same uid", async () => {
    const { token } = await bed.token();
    bed.strangers.meddle = ({ count, body }) => (count === 4 ? CUT : body);
    expect(await attempt(joiner, joinWith({ token }))).toMatchObject(failure("connect_error"));
    expect(members()).toBe(2);
    bed.strangers.meddle = ({ body }) => body;
    expect(await attempt(joiner, joinWith({ token }))).toMatchObject({ name: "completed" });
    expect(joiner.driver.uid).toBe(2);
  });

  test("after its time it is of no use, and says so", async () => {
    const { token } = await bed.token(60_000);
    bed.founder.clock.jumpWall(60_001);
    joiner.clock.jumpWall(60_001);
    expect(await attempt(joiner, joinWith({ token }))).toMatchObject(
      failure("access_denied", saying(/has expired/)),
    );
    expect(members()).toBe(1);
  });

  test("revoked it is of no use, and says so", async () => {
    const { id, token } = await bed.token();
    await bed.registry.submit({ type: "token.revoke", id }, { by: "admin" });
    expect(await attempt(joiner, joinWith({ token }))).toMatchObject(
      failure("access_denied", saying(/does not know this join token; it may have been revoked/)),
    );
    expect(members()).toBe(1);
  });

  test("another secret under its id is refused, and guessing is slowed down like that of passwords", async () => {
    const { token } = await bed.token();
    const content = decodeToken(token);
    const guess = (): string => encodeToken({ ...content, secret: proofs.tokens.draw().secret });
    for (let i = 0; i < 10; i += 1) {
      expect(await attempt(joiner, joinWith({ token: guess() }))).toMatchObject(failure("access_denied"));
    }
    expect(await attempt(joiner, joinWith({ token }))).toMatchObject(
      failure("access_denied", { retry_after_s: 60 }),
    );
    expect(members()).toBe(1);
  });

  test("a token that this agent has not heard of yet is looked for with the leader", async () => {
    const { id, token } = await bed.token();
    const { tokens } = bed.registry.state;
    const known = tokens.get(id);
    if (known === undefined) throw new Error("it was made");
    tokens.delete(id);
    const barrier = bed.registry.readBarrier.bind(bed.registry);
    bed.registry.readBarrier = (...args) => {
      tokens.set(id, known);
      return barrier(...args);
    };
    expect(await attempt(joiner, joinWith({ token }))).toMatchObject({ name: "completed" });
  });
});

describe("whom a host with a token talks to", () => {
  /** A stranger of the given peer id that notes who opens a conversation. */
  function stranger(peer: string): string[] {
    const heard: string[] = [];
    bed.strangers.handlers.set(peer, async (channel) => {
      heard.push(JSON.stringify(await channel.receive({ timeoutMs: 1000 })));
    });
    return heard;
  }

  test("not to one that the token does not name, whatever an address tells", async () => {
    const { token } = await bed.token();
    bed.strangers.handlers.delete(FOUNDER); // The real one cannot be reached.
    const heard = stranger("12D3KooWEvil");
    const evil = Object.assign(Object.create(FakeHost.prototype) as FakeHost, { peer: "12D3KooWEvil" });
    joiner.contacts.set("10.0.0.66", evil);
    const end = await attempt(joiner, joinWith({ token }, { nodes: ["10.0.0.66"] }));
    expect(end).toMatchObject(failure("connect_error"));
    expect(JSON.stringify(end)).toContain("(12D3KooWEvil) is none of those that the token names");
    expect(heard).toEqual([]);
  });

  test("to one that it names and that has moved, where an address tells it", async () => {
    const { token } = await bed.token();
    const openJoin = joiner.transport.openJoin.bind(joiner.transport);
    let calls = 0;
    joiner.transport.openJoin = (...args) => {
      calls += 1;
      if (calls === 1) return openJoin({ peer: "nobody", meshAddrs: [] }, args[1]);
      return openJoin(...args);
    };
    expect(await attempt(joiner, joinWith({ token }, { nodes: ["10.0.0.1"] }))).toMatchObject({
      name: "completed",
    });
    expect(calls).toBe(2);
  });

  test("not when it names no address that answers: each is told with its cause", async () => {
    const { token } = await bed.token();
    bed.strangers.handlers.delete(FOUNDER);
    const end = await attempt(joiner, joinWith({ token }));
    expect(end).toMatchObject(failure("connect_error", { tried: [{ address: "/ip4/10.0.0.1/tcp/9444" }] }));
    expect(JSON.stringify(end)).toContain("on the mesh (/ip4/10.0.0.1/tcp/9444): ");
  });

  test("not on, when it turns out to be in another cluster now", async () => {
    const { token } = await bed.token();
    const said: Wire[] = [];
    bed.strangers.meddle = ({ count, body }) => {
      said.push(body);
      return count === 1 ? { ...(body as object), cluster_id: "other" } : body;
    };
    expect(await attempt(joiner, joinWith({ token }))).toMatchObject(
      failure("access_denied", saying(/another cluster than the token is for/)),
    );
    expect(said).toHaveLength(2); // No proof.
  });

  test("text that is no token is refused before anybody is asked", async () => {
    const heard = stranger(FOUNDER);
    const end = await attempt(joiner, joinWith({ token: "muster1.rubbish" }));
    expect(end).toMatchObject(failure("config_error", { field: "credentials.token" }));
    expect(JSON.stringify(end)).not.toContain("rubbish");
    expect(heard).toEqual([]);
  });
});

test("what a host has said with a token lets nobody else in, and no second time", async () => {
  const { token } = await bed.token();
  const said: Wire[] = [];
  bed.strangers.meddle = ({ count, from, body }) => {
    if (from === joiner.peer) said.push(body);
    return count === 2 ? CUT : body;
  };
  expect(await attempt(joiner, joinWith({ token }))).toMatchObject(failure("connect_error"));
  expect(said).toHaveLength(2); // Hello and proof.
  bed.strangers.meddle = ({ body }) => body;

  const waiting = { timeoutMs: 5000 };
  for (const peer of [joiner.peer, "12D3KooWEvil"]) {
    const transport = bed.strangers.transportOf(peer, []);
    await using channel = await transport.openJoin(
      { peer: FOUNDER, meshAddrs: [] },
      AbortSignal.timeout(5000),
    );
    await channel.send(said[0] ?? null);
    const answer = await channel.receive(waiting);
    if (typeof answer === "object" && answer !== null && "refused" in answer) continue;
    await channel.send(said[1] ?? null);
    expect(await channel.receive(waiting)).toMatchObject({ refused: { code: "access_denied" } });
  }
  expect(members()).toBe(1);
});
