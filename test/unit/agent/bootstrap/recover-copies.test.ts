import { beforeEach, describe, expect, test } from "vitest";

import { scram } from "./fake-host.ts";
import { addressesOf, FakeStrangers } from "./fake-strangers.ts";
import { history, PASSWORD } from "./ruins.ts";
import { Copies } from "#agent/bootstrap/copies.ts";
import { packCopy, unpackCopy, ZSTD } from "#agent/bootstrap/copies-pack.ts";
import { CopyQuestion, type CopyReply } from "#agent/bootstrap/copy-messages.ts";
import { receive } from "#agent/bootstrap/join-messages.ts";
import { failureOf } from "#agent/bootstrap/refusal.ts";
import { ask, prove, pull } from "#agent/bootstrap/survey-ask.ts";
import { askAround, type Round, type Target } from "#agent/bootstrap/survey-round.ts";
import type { HeldCopy } from "#agent/ports/registry.ts";
import type { StrangerChannel, Wire } from "#agent/ports/transport.ts";
import { applyEntry, emptyState } from "#shared/registry/reduce.ts";
import type { User } from "#shared/registry/state.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

const HOLDER = "12D3KooWHolder";
const ASKER = "12D3KooWAsker";
const ADMIN = { username: "admin", password: PASSWORD };
const NEVER = new AbortController().signal;

let clock: FakeClock;
let log: RecordingLog;
let strangers: FakeStrangers;
let registry: LocalRegistry;
let held: HeldCopy;
let reads: number;
let life: { member: boolean; recovering: boolean };

/** The holder answers strangers as a sponsor does. */
beforeEach(async () => {
  clock = new FakeClock();
  log = new RecordingLog();
  strangers = new FakeStrangers();
  registry = new LocalRegistry();
  registry.quorum = false;
  reads = 0;
  life = { member: true, recovering: false };
  const state = emptyState();
  for (const entry of await history()) applyEntry(state, entry);
  held = { identity: { clusterId: "c1", incarnation: 1, uid: 1, contacts: [] }, state };
  const copies = new Copies({
    self: HOLDER,
    runtime: {
      registry,
      copy: () => {
        reads += 1;
        return Promise.resolve(held);
      },
    },
    identity: { cluster: () => Promise.resolve(held.identity) },
    scram,
    clock,
    log,
    isMember: () => life.member,
    isRecovering: () => life.recovering,
  });
  strangers.transportOf(HOLDER, []).onJoin(async (channel) => {
    try {
      await copies.answer(channel, await receive(channel, CopyQuestion, { timeoutMs: 5000 }));
    } catch (error) {
      await channel.send({ refused: failureOf(error, log) } as unknown as Wire).catch(() => undefined);
    }
  });
});

const open = (): Promise<StrangerChannel> =>
  strangers.transportOf(ASKER, []).openJoin(addressesOf(HOLDER), NEVER);

async function asked(): Promise<{ channel: StrangerChannel; reply: CopyReply }> {
  const channel = await open();
  return { channel, reply: await ask(channel, NEVER) };
}

async function proven(credentials = ADMIN): Promise<StrangerChannel> {
  const { channel, reply } = await asked();
  await prove({ scram, self: ASKER }, channel, { credentials, reply }, NEVER);
  return channel;
}

describe("whoever asks", () => {
  test("is told which cluster it is, and that it has no leader; the disk is not read for it", async () => {
    const { reply } = await asked();
    expect(reply).toEqual({
      cluster_id: "c1",
      incarnation: 1,
      leader: false,
      recovering: false,
      age_ms: null,
    });
    expect(reads).toBe(0);
  });

  test("is told that there is a leader, and nothing else", async () => {
    registry.quorum = true;
    const { channel, reply } = await asked();
    expect(reply.leader).toBe(true);
    await expect(
      prove({ scram, self: ASKER }, channel, { credentials: ADMIN, reply }, NEVER),
    ).rejects.toMatchObject({ kind: "peer_unreachable" });
  });

  test("is refused by a host in no cluster", async () => {
    life.member = false;
    await expect(asked()).rejects.toMatchObject({ failure: { code: "connect_error" } });
  });

  test("with another version of the protocol is refused", async () => {
    const channel = await open();
    await channel.send({ v: 2, ask: "copy" });
    await expect(channel.receive({ timeoutMs: 1000 })).resolves.toMatchObject({
      refused: { code: "node_config_mismatch" },
    });
  });

  test("makes the disk be read once a minute at most, whoever it claims to be", async () => {
    for (let i = 0; i < 5; i += 1) {
      await expect(proven({ username: `user-${i}`, password: "wrong" })).rejects.toThrow();
    }
    expect(reads).toBe(1);
    await clock.advance(60_000);
    await expect(proven({ username: "another", password: "wrong" })).rejects.toThrow();
    expect(reads).toBe(2);
  });
});

describe("a proof", () => {
  test("gives the copy, whole", async () => {
    const channel = await proven();
    const { data, ...piece } = await pull(channel, 0, NEVER);
    const packed = Buffer.from(data, "base64");
    expect(packed).toHaveLength(piece.packed_bytes);
    const state = await unpackCopy({ ...piece, packed }, ZSTD);
    expect(state.index).toBe(held.state.index);
    expect(state.users.get("admin")).toEqual(held.state.users.get("admin"));
  });

  test("has to be made before a piece is pulled", async () => {
    const { channel } = await asked();
    await expect(pull(channel, 0, NEVER)).rejects.toThrow();
    const second = await asked();
    await second.channel.send({ username: "admin", client_nonce: "AAAA" });
    await second.channel.receive({ timeoutMs: 1000 }); // The challenge.
    await expect(pull(second.channel, 0, NEVER)).rejects.toThrow();
  });

  test("is read for anew: entries may have come since", async () => {
    await proven();
    const state = emptyState();
    for (const entry of await history((more) => void more.must({ type: "zone.create", name: "z" })))
      applyEntry(state, entry);
    held = { ...held, state };
    const { channel, reply } = await asked();
    const head = await prove({ scram, self: ASKER }, channel, { credentials: ADMIN, reply }, NEVER);
    expect(head.index).toBe(state.index);
  });

  test("is for nothing when there is a leader by then", async () => {
    const { channel, reply } = await asked();
    registry.quorum = true;
    await expect(
      prove({ scram, self: ASKER }, channel, { credentials: ADMIN, reply }, NEVER),
    ).rejects.toThrow("has a leader again");
  });

  test("of a user who is no administrator gives nothing", async () => {
    const admin = held.state.users.get("admin") as User;
    held.state.users.set("viewer", { ...admin, uid: 2, name: "viewer", role: "viewer" });
    await expect(proven({ ...ADMIN, username: "viewer" })).rejects.toThrow("only an administrator");
    await expect(proven({ username: "viewer", password: "wrong" })).rejects.toThrow(
      "refused the credentials",
    );
  });

  test("is not made to one that speaks for two clusters", async () => {
    strangers.meddle = ({ count, body }) =>
      count === 1 ? { ...(body as object), cluster_id: "another" } : body;
    await expect(proven()).rejects.toMatchObject({ kind: "peer_refused" });
  });

  test("of somebody in the middle is worth nothing: it names him", async () => {
    // He opens a conversation of his own and passes every word on.
    const middle = "12D3KooWMiddle";
    strangers.transportOf(middle, []).onJoin(async (victim) => {
      const channel = await strangers.transportOf(middle, []).openJoin(addressesOf(HOLDER), NEVER);
      for (let i = 0; i < 3; i += 1) {
        await channel.send(await victim.receive({ timeoutMs: 1000 }));
        await victim.send(await channel.receive({ timeoutMs: 1000 }));
      }
    });
    const channel = await strangers.transportOf(ASKER, []).openJoin(addressesOf(middle), NEVER);
    const reply = await ask(channel, NEVER);
    await expect(
      prove({ scram, self: ASKER }, channel, { credentials: ADMIN, reply }, NEVER),
    ).rejects.toMatchObject({ failure: { code: "access_denied" } });
  });

  test("beyond the end there is nothing", async () => {
    const channel = await proven();
    await expect(pull(channel, 10_000_000, NEVER)).rejects.toMatchObject({
      failure: { code: "internal_error" },
    });
  });
});

describe("packing", () => {
  test("more than was said never comes out", async () => {
    const packed = await packCopy(held.state, ZSTD);
    await expect(unpackCopy({ ...packed, bytes: 100 }, ZSTD)).rejects.toMatchObject({
      code: "ERR_BUFFER_TOO_LARGE",
    });
    await expect(unpackCopy({ ...packed, bytes: packed.bytes + 1 }, ZSTD)).rejects.toThrow("hash");
  });
});

describe("a round of questions", () => {
  const target = (where: string, find = () => Promise.resolve(addressesOf(HOLDER))): Target => ({
    where,
    peer: null,
    find,
  });
  const round = (
    targets: readonly Target[],
    signal = NEVER,
    clusterId: string | null = null,
  ): Promise<Round> => {
    const transport = strangers.transportOf(ASKER, []);
    const options = { credentials: ADMIN, clusterId, asked: new Set([ASKER]) };
    return askAround({ transport, scram, clock, log, self: ASKER }, targets, options, signal);
  };
  const hang = (): Promise<never> => new Promise(() => undefined);

  test("asks each agent once, by whatever addresses it is called", async () => {
    const { heard, unseen } = await round([target("a"), target("b"), target("c")]);
    expect(heard.map(({ where }) => where)).toEqual(["a"]);
    expect(unseen).toEqual([]);
  });

  test("does not ask this host itself", async () => {
    const { heard } = await round([target("self", () => Promise.resolve(addressesOf(ASKER)))]);
    expect(heard).toEqual([]);
  });

  test("nobody of another cluster is given a proof of this one's password", async () => {
    const said: string[] = [];
    strangers.meddle = ({ from, body }) => {
      if (from === ASKER) said.push(JSON.stringify(body));
      return body;
    };
    const { heard, unseen } = await round([target("a")], NEVER, "another");
    expect(heard).toMatchObject([{ head: null, reply: { cluster_id: "c1" } }]);
    expect(unseen).toEqual([]);
    expect(said).toHaveLength(1);
  });

  test("who does not answer costs the others nothing, and is noted with the cause", async () => {
    const targets = [
      target("silent", hang),
      target("closed", () => Promise.reject(new Error("refused"))),
      target("a"),
    ];
    const over = round(targets);
    await expect.poll(() => strangers.busy.size).toBe(0);
    await clock.advance(5000);
    const { heard, unseen } = await over;
    expect(heard.map(({ where }) => where)).toEqual(["a"]);
    expect(unseen).toEqual([
      { address: "closed", cause: "refused", denied: false },
      { address: "silent", cause: "it did not answer within 5 s", denied: false },
    ]);
    expect(clock.timers).toBe(0);
  });

  test("ends in time, though many do not answer", async () => {
    const over = round(Array.from({ length: 100 }, (_, i) => target(`silent-${i}`, hang)));
    await clock.advance(20_000);
    const { unseen } = await over;
    expect(unseen).toHaveLength(100);
    expect(unseen.filter(({ cause }) => cause.includes("no time left")).length).toBeGreaterThan(50);
    expect(clock.timers).toBe(0);
  });

  test("ends with its signal", async () => {
    const stop = new AbortController();
    const over = round([target("silent", hang)], stop.signal);
    stop.abort(new Error("stopped"));
    await expect(over).rejects.toThrow("stopped");
    expect(clock.timers).toBe(0);
  });

  test("one that heard of a leader a moment ago is asked again after the time of an election", async () => {
    const status = registry.status.bind(registry);
    registry.status = () => ({ ...status(), ageMs: 1500 });
    let heads = 0;
    strangers.meddle = ({ body }) => {
      if (JSON.stringify(body).includes("server_signature")) heads += 1;
      return body;
    };
    const over = round([target("a")]);
    await expect.poll(() => heads).toBe(1);
    await expect.poll(() => clock.timers).toBe(2); // The round's own, and the wait for the second question.
    registry.quorum = true;
    await clock.advance(3500);
    const { heard } = await over;
    expect(heard).toMatchObject([{ where: "a", reply: { leader: true }, head: null }]);
  });
});
