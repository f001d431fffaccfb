import { describe, expect, test } from "vitest";

import { decodeMessage } from "#agent/registry/message-wire.ts";
import { makeMember } from "#test/support/registry-log.ts";

import { Replicas, type Host } from "./replicas.ts";

function followerOf(replicas: Replicas): Host {
  const follower = replicas.hosts.find(({ peer }) => peer !== replicas.leader?.peer);
  if (follower === undefined) throw new Error("no follower");
  return follower;
}

describe("what must be on disk before it is said", () => {
  test("a follower acknowledges an append, and a voter its vote, only once it is saved", async () => {
    const replicas = await Replicas.form(3);
    const follower = followerOf(replicas);
    const lastKnown = follower.replica.status().applied;
    let writing = false;
    let early = 0;
    let answers = 0;
    follower.disk.beforeWrite = async () => {
      writing = true;
      await replicas.clock.sleep(30);
      writing = false;
    };
    replicas.mesh.filter = ({ from, to, name, body }) => {
      const message = name === "raft" ? decodeMessage(from, to, body) : null;
      if (from !== follower.peer || message === null) return true;
      if (message.type === "append_answer" && message.ok && message.index > lastKnown) {
        answers += 1;
        const durable = follower.disk.durable.entries.at(-1)?.index ?? 0;
        if (writing || message.index > durable) early += 1;
      }
      if (message.type === "vote_answer" && message.granted) {
        answers += 1;
        if (follower.disk.durable.hardState.vote === null) early += 1;
      }
      return true;
    };
    await replicas.zone(replicas.host(1), "a");
    await replicas.settled();
    const { leader } = replicas;
    if (leader === null) throw new Error("no leader");
    expect(answers).toBeGreaterThan(0);
    await replicas.kill(leader);
    await replicas.clock.until(() => replicas.leader !== null);
    expect(early).toBe(0);
  });

  test("a founder's answer survives a power cut", async () => {
    const replicas = await Replicas.form(1);
    const host = replicas.host(1);
    await replicas.zone(host, "kept");
    await replicas.kill(host);
    await replicas.restart(host);
    await replicas.settled();
    expect(host.replica.state.zones.size).toBe(1);
  });
});

describe("news of a commit", () => {
  /** Whether it comes about without any time passing. */
  async function atOnce(promise: Promise<unknown>): Promise<boolean> {
    const turns = async (): Promise<false> => {
      for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      return false;
    };
    return Promise.race([promise.then(() => true), turns()]);
  }

  test("a follower whose client waits for its write, or its reader for a barrier, is not kept waiting", async () => {
    const replicas = await Replicas.form(3);
    const { replica } = followerOf(replicas);
    const command = { type: "zone.create", name: "through a follower" } as const;
    expect(await atOnce(replica.submit(command, { by: "admin" }))).toBe(true);
    await atOnce(
      replicas.leader?.replica.submit({ ...command, name: "at the leader" }, { by: "admin" }) ??
        Promise.reject(),
    );
    expect(replica.state.zones.size).toBe(1); // It has not heard of it yet.
    expect(await atOnce(replica.readBarrier({ timeoutMs: 1000 }))).toBe(true);
    expect(replica.state.zones.size).toBe(2);
  });
});

describe("peers that lie", () => {
  test("nobody submits in another agent's name", async () => {
    const replicas = await Replicas.form(1);
    const liar = replicas.mesh.join("peer-9");
    const item = {
      v: 1,
      origin: "peer-1",
      session: 99,
      seq: 1,
      ack: 1,
      by: "admin",
      command: { type: "zone.create", name: "forged" },
    };
    const asking = liar.request(
      "peer-1",
      "control",
      "registry.propose",
      { items: [item] },
      { timeoutMs: 1000 },
    );
    await expect(replicas.wait(asking)).rejects.toMatchObject({ kind: "forbidden" });
    expect(replicas.host(1).replica.state.zones.size).toBe(0);
  });

  test("nobody speaks for another member, and garbage is dropped; it is told once", async () => {
    const replicas = await Replicas.form(3);
    const victim = followerOf(replicas);
    const before = replicas.leader?.replica.status().term ?? 0;
    const liar = replicas.mesh.join("peer-9");
    const forged = {
      type: "heartbeat",
      from: "peer-1",
      to: victim.peer,
      term: before + 5,
      commit: 0,
      round: 0,
    };
    for (let i = 0; i < 5; i += 1) {
      liar.send(victim.peer, "control", "raft", forged);
      liar.send(victim.peer, "control", "raft", { type: "append", entries: "many" });
      liar.send(victim.peer, "control", "raft", null);
    }
    await replicas.clock.advance(500);
    expect(victim.replica.status().term).toBe(before);
    expect(victim.log.matching("dropped what a peer sent")).toHaveLength(1);
  });

  test.each([
    ["registry.propose", { items: "none" }],
    ["registry.propose", { items: Array.from({ length: 1000 }, () => ({})) }],
    ["registry.pull", { from: 0, waitMs: 0 }],
    ["registry.pull", { from: 1, waitMs: 1e9 }],
    ["registry.read_index", {}],
    ["registry.snapshot", { index: -1, offset: 0 }],
  ] as const)("%s refuses what it cannot read", async (method, body) => {
    const replicas = await Replicas.form(1);
    const peer = replicas.mesh.join("peer-9");
    const asking = peer.request("peer-1", "control", method, body, { timeoutMs: 1000 });
    await expect(replicas.wait(asking)).rejects.toMatchObject({ kind: "bad_request" });
  });
});

describe("members whose join broke off", () => {
  test("are removed by the leader after a while", async () => {
    const replicas = await Replicas.form(1, { joiningMs: 5000 });
    const { replica } = replicas.host(1);
    await replicas.write(replicas.host(1), { type: "member.add", member: makeMember(7) });
    await replicas.clock.advance(4000);
    expect(replica.state.members.size).toBe(2);
    await replicas.clock.until(() => replica.state.members.size === 1, 5000);
    expect(replica.state.tombstones.has("peer-7")).toBe(true);
  });

  test.each([
    ["ahead", 3_600_000],
    ["back", -3_600_000],
  ])("neither sooner nor later when the leader's wall clock is set %s", async (_way, byMs) => {
    const replicas = await Replicas.form(1, { joiningMs: 5000 });
    const { replica } = replicas.host(1);
    await replicas.write(replicas.host(1), { type: "member.add", member: makeMember(7) });
    replicas.clock.jumpWall(byMs);
    await replicas.clock.advance(4000);
    expect(replica.state.members.size).toBe(2);
    await replicas.clock.until(() => replica.state.members.size === 1, 5000);
  });

  test("a member that tries again has its time anew", async () => {
    const replicas = await Replicas.form(1, { joiningMs: 5000 });
    const { replica } = replicas.host(1);
    for (let tries = 1; tries <= 3; tries += 1) {
      await replicas.write(replicas.host(1), { type: "member.add", member: makeMember(7) });
      await replicas.clock.advance(4000);
    }
    expect(replica.state.members.size).toBe(2);
    await replicas.clock.until(() => replica.state.members.size === 1, 5000);
  });
});

describe("an entry that this version does not know", () => {
  test("stops applying, says so, and leaves reads and the rest of the cluster alone", async () => {
    const replicas = await Replicas.form(1);
    const host = replicas.host(1);
    await replicas.zone(host, "kept");
    // What a newer leader would have written.
    const peer = replicas.mesh.join("peer-9");
    const command = { type: "moon.launch" };
    const item = { v: 1, origin: "peer-9", session: 1, seq: 1, ack: 1, by: "admin", command };
    await replicas.wait(
      peer.request("peer-1", "control", "registry.propose", { items: [item] }, { timeoutMs: 1000 }),
    );
    await replicas.clock.until(() => host.replica.status().halted !== null);
    expect(host.replica.status().halted).toContain("moon.launch");
    expect(host.replica.state.zones.size).toBe(1);
    await expect(replicas.zone(host, "more")).rejects.toMatchObject({ kind: "quorum_lost" });
  });
});
