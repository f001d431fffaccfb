import { expect, test } from "vitest";

import { addressOf, Bed, unite, untilMeshed } from "./bed.ts";
import { Copies } from "#agent/bootstrap/copies.ts";
import { CopyQuestion } from "#agent/bootstrap/copy-messages.ts";
import { receive } from "#agent/bootstrap/join-messages.ts";
import { fetchCopy } from "#agent/bootstrap/survey-fetch.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import type { CopyInfo } from "#shared/bootstrap/recovery.ts";
import { Prng } from "#shared/lib/prng.ts";
import { applyEntry, emptyState } from "#shared/registry/reduce.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { scram } from "#test/unit/agent/bootstrap/fake-host.ts";
import { history, PASSWORD } from "#test/unit/agent/bootstrap/ruins.ts";

test("a member fetches another member's copy over the real mesh, piece by piece, and their link stays", async () => {
  await using bed = new Bed();
  const asker = await bed.add();
  const holder = await bed.add();
  unite([asker, holder]);
  await untilMeshed([asker, holder]);

  const prng = new Prng(1);
  const noise = (): string =>
    Buffer.from(Array.from({ length: 90 }, () => prng.below(256))).toString("base64");
  const entries = await history((log) => {
    for (let i = 0; i < 4000; i += 1) log.must({ type: "zone.create", name: noise() });
  });
  const state = emptyState();
  for (const entry of entries) applyEntry(state, entry);
  const registry = new LocalRegistry();
  registry.quorum = false;
  const identity = { clusterId: "c1", incarnation: 1, uid: 1, contacts: [] };
  const copies = new Copies({
    self: holder.mesh.self,
    runtime: { registry, copy: () => Promise.resolve({ identity, state }) },
    identity: { cluster: () => Promise.resolve(identity) },
    scram,
    clock: new SystemClock(),
    log: new RecordingLog(),
    isMember: () => true,
    isRecovering: () => false,
  });
  let conversations = 0;
  let frames = 0;
  holder.mesh.onJoin(async (channel) => {
    conversations += 1;
    const counted: typeof channel = {
      remote: channel.remote,
      receive: (options) => channel.receive(options),
      send: (body) => {
        frames += 1;
        return channel.send(body);
      },
      [Symbol.asyncDispose]: () => channel[Symbol.asyncDispose](),
    };
    await copies.answer(counted, await receive(channel, CopyQuestion, { timeoutMs: 5000 }));
  });

  const { term, index, at } = state;
  const info: CopyInfo = {
    source: "agent",
    where: "holder",
    peer: holder.mesh.self,
    clusterId: "c1",
    clusterName: "my.cluster",
    incarnation: 1,
    term,
    index,
    at,
    ageMs: null,
  };
  const fetched = await fetchCopy(
    { self: asker.mesh.self, scram, transport: asker.mesh },
    addressOf(holder.mesh),
    { info, credentials: { username: "admin", password: PASSWORD } },
    AbortSignal.timeout(20_000),
  );
  expect(fetched.zones).toEqual(state.zones);
  expect(fetched.fingerprint.sum).toBe(state.fingerprint.sum);
  expect(conversations).toBe(1);
  expect(frames).toBeGreaterThan(5); // Reply, challenge, head, and several full pieces.
  expect(asker.mesh.connected()).toEqual([holder.mesh.self]);
  expect(asker.events.map(({ type }) => type)).toEqual(["up"]);
  expect(holder.events.map(({ type }) => type)).toEqual(["up"]);
});
