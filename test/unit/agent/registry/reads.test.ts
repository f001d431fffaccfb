import { describe, expect, test } from "vitest";

import { INDEX_WAITERS_MAX } from "#shared/lib/limits.ts";

import { Replicas } from "./replicas.ts";

describe("read barriers", () => {
  test("on every agent, what was acknowledged anywhere before is there afterwards", async () => {
    const replicas = await Replicas.form(4);
    for (const reader of replicas.hosts) {
      const writer = replicas.host((reader.n % 4) + 1);
      const { index } = await replicas.zone(writer, `for-${reader.n}`);
      expect(await replicas.wait(reader.replica.readBarrier({ timeoutMs: 5000 }))).toBeGreaterThanOrEqual(
        index,
      );
      expect(reader.replica.state.index).toBeGreaterThanOrEqual(index);
    }
  });

  test("a leader that is cut off answers none, though it still calls itself leader", async () => {
    const replicas = await Replicas.form(3);
    const { leader } = replicas;
    if (leader === null) throw new Error("no leader");
    const others = replicas.hosts.filter((host) => host !== leader);
    replicas.mesh.cut(
      [leader.peer],
      others.map(({ peer }) => peer),
    );
    const reading = leader.replica.readBarrier({ timeoutMs: 500 });
    expect(leader.replica.status().role).toBe("leader");
    await expect(replicas.wait(reading)).rejects.toMatchObject({ kind: "quorum_lost" });
    const [other] = others;
    if (other === undefined) throw new Error("nobody else");
    const { index } = await replicas.zone(other, "new");
    expect(await replicas.wait(other.replica.readBarrier({ timeoutMs: 5000 }))).toBeGreaterThanOrEqual(index);
    replicas.mesh.heal();
    await replicas.settled();
    expect(leader.replica.state.index).toBeGreaterThanOrEqual(index);
  });

  test("one that is asked for while nobody leads is answered by the next leader", async () => {
    const replicas = await Replicas.form(3);
    const { leader } = replicas;
    if (leader === null) throw new Error("no leader");
    await replicas.kill(leader);
    await replicas.wait(replicas.anyUp().replica.readBarrier({ timeoutMs: 10_000 }));
  });
});

describe("waiting for an index", () => {
  test("resolves when it is applied, rejects when it is not in time, with both numbers", async () => {
    const replicas = await Replicas.form(3);
    const { replica } = replicas.host(2);
    const { applied } = replica.status();
    const soon = replica.waitForIndex(applied + 1, { timeoutMs: 5000 });
    await replicas.zone(replicas.host(1), "a");
    expect(await replicas.wait(soon)).toBe(applied + 1);
    await expect(
      replicas.wait(replica.waitForIndex(applied + 100, { timeoutMs: 300 })),
    ).rejects.toMatchObject({
      kind: "index_not_reached",
      facts: { index: applied + 1, wanted: applied + 100 },
    });
    expect(await replica.waitForIndex(applied, { timeoutMs: 0 })).toBe(applied + 1);
  });

  test("is bounded, and a waiter that gives up makes room", async () => {
    const replicas = await Replicas.form(1);
    const { replica } = replicas.host(1);
    const stop = new AbortController();
    const waiting = Array.from({ length: INDEX_WAITERS_MAX }, (_, i) =>
      replica.waitForIndex(1000 + (i % 7), { timeoutMs: 60_000, signal: stop.signal }),
    );
    const settled = Promise.allSettled(waiting);
    await expect(replica.waitForIndex(1000, { timeoutMs: 10 })).rejects.toMatchObject({ kind: "overloaded" });
    const reason = new Error("the caller hung up");
    stop.abort(reason);
    expect((await settled)[0]).toEqual({ status: "rejected", reason });
    await expect(replicas.wait(replica.waitForIndex(1000, { timeoutMs: 10 }))).rejects.toMatchObject({
      kind: "index_not_reached",
    });
  });
});

describe("age", () => {
  test("stays small on voters and learners while the cluster is healthy, and grows on whoever is cut off", async () => {
    const replicas = await Replicas.form(4);
    const learner = replicas.host(4);
    await replicas.clock.advance(10_000);
    for (const { replica } of replicas.hosts) expect(replica.status().ageMs).toBeLessThan(1500);
    expect(replicas.leader?.replica.status().ageMs).toBe(0);
    replicas.mesh.cut(
      [learner.peer],
      replicas.hosts.slice(0, 3).map(({ peer }) => peer),
    );
    await replicas.clock.advance(10_000);
    expect(learner.replica.status().ageMs).toBeGreaterThan(8000);
    expect(learner.replica.status()).toMatchObject({ leader: null, quorum: false });
    replicas.mesh.heal();
    await replicas.clock.until(() => (learner.replica.status().ageMs ?? Infinity) < 1500, 20_000);
  });

  test("grows on a leader that is cut off, before consensus itself notices", async () => {
    const replicas = await Replicas.form(3);
    const { leader } = replicas;
    if (leader === null) throw new Error("no leader");
    const others = replicas.hosts.filter((host) => host !== leader).map(({ peer }) => peer);
    replicas.mesh.cut([leader.peer], others);
    await replicas.clock.advance(700);
    expect(leader.replica.status()).toMatchObject({ role: "leader", leader: leader.peer });
    expect(leader.replica.status().ageMs).toBeGreaterThan(500);
  });

  test("a learner that reaches no voter follows another learner, and says how old that one's copy is", async () => {
    const replicas = await Replicas.form(7);
    const voters = replicas.votersOf(replicas.host(1));
    const [cutOff, relay] = replicas.hosts.filter(({ peer }) => !voters.includes(peer));
    if (cutOff === undefined || relay === undefined) throw new Error("too few learners");
    replicas.mesh.cut([cutOff.peer], voters);
    await replicas.zone(relay, "relayed");
    await replicas.clock.until(() => cutOff.replica.state.zones.size === 1);
    expect(cutOff.replica.status().ageMs).toBeLessThan(5000);
  });
});
