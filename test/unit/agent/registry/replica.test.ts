import { describe, expect, test } from "vitest";

import { AppError } from "#shared/errors/app-error.ts";

import { Replicas } from "./replicas.ts";

const zoneNames = (replicas: Replicas, n: number): string[] =>
  [...replicas.host(n).replica.state.zones.values()].map(({ name }) => name);

const agree = (replicas: Replicas): boolean => new Set(replicas.registries()).size === 1;

describe("forming", () => {
  test("one agent founds a cluster, and it can be written when founding is over", async () => {
    const replicas = new Replicas();
    const host = await replicas.found();
    expect(host.replica.status()).toMatchObject({ role: "leader", quorum: true, missing: [], ageMs: 0 });
    const { result } = await replicas.zone(host, "first");
    expect(result).toEqual({ ok: true, value: expect.objectContaining({ id: 1 }) });
  });

  test("outside a cluster there is an empty registry, and everything else says so", async () => {
    const replicas = await Replicas.form(1);
    const { replica } = replicas.host(1);
    await replicas.wait(replica.forget());
    expect(replica.state.members.size).toBe(0);
    expect(replica.status()).toMatchObject({ leader: null, quorum: false });
    const kind = { kind: "not_in_cluster" };
    await expect(replica.submit({ type: "zone.create", name: "x" }, { by: "admin" })).rejects.toMatchObject(
      kind,
    );
    await expect(replica.readBarrier({ timeoutMs: 10 })).rejects.toMatchObject(kind);
    await expect(replica.waitForIndex(1, { timeoutMs: 10 })).rejects.toMatchObject(kind);
  });

  test("two members have one voter, three have three, four have three, five have five", async () => {
    const replicas = await Replicas.form(2);
    expect(replicas.votersOf(replicas.host(1))).toEqual(["peer-1"]);
    await replicas.join();
    await replicas.settled();
    expect(replicas.votersOf(replicas.host(2))).toEqual(["peer-1", "peer-2", "peer-3"]);
    await replicas.join();
    await replicas.settled();
    expect(replicas.votersOf(replicas.host(4))).toHaveLength(3);
    expect(replicas.host(4).replica.status().role).toBe("learner");
    await replicas.join();
    await replicas.settled();
    expect(replicas.votersOf(replicas.host(5))).toHaveLength(5);
    expect(agree(replicas)).toBe(true);
  });
});

describe("writing", () => {
  test("through leader, follower and learner: applied where it was written when it is answered", async () => {
    const replicas = await Replicas.form(4);
    for (const host of replicas.hosts) {
      const { index, result } = await replicas.zone(host, `by-${host.n}`);
      expect(result.ok).toBe(true);
      expect(host.replica.state.index).toBeGreaterThanOrEqual(index);
      expect(zoneNames(replicas, host.n)).toContain(`by-${host.n}`);
    }
    await replicas.settled();
    expect(agree(replicas)).toBe(true);
  });

  test("a refusal is a result", async () => {
    const replicas = await Replicas.form(1);
    await replicas.zone(replicas.host(1), "a");
    const { result } = await replicas.zone(replicas.host(1), "a");
    expect(result).toMatchObject({ ok: false, refusal: { kind: "zone_exists" } });
  });

  test("many at once share writes to the disk", async () => {
    const replicas = await Replicas.form(1);
    const { disk, replica } = replicas.host(1);
    const before = disk.syncs;
    const all = Array.from({ length: 200 }, (_, i) =>
      replica.submit({ type: "zone.create", name: `z${i}` }, { by: "admin" }),
    );
    await replicas.wait(Promise.all(all));
    expect(replica.state.zones.size).toBe(200);
    expect(disk.syncs - before).toBeLessThan(5);
  });

  test("a key that was used for another command is refused; for the same one it answers the same", async () => {
    const replicas = await Replicas.form(3);
    const first = await replicas.zone(replicas.host(2), "a", { key: "k" });
    const again = await replicas.zone(replicas.host(3), "a", { key: "k" });
    expect(again).toEqual(first);
    await expect(replicas.zone(replicas.host(1), "b", { key: "k" })).rejects.toMatchObject({
      kind: "idempotency_key_reused",
    });
  });

  test("changes are told once, with their index, on every agent", async () => {
    const replicas = await Replicas.form(4);
    const seen = replicas.hosts.map(({ replica }) => {
      const ids: string[] = [];
      replica.onChange((changes) => {
        for (const { topic, index } of changes) ids.push(`${topic}@${index}`);
      });
      return ids;
    });
    const { index } = await replicas.zone(replicas.host(3), "a");
    await replicas.settled();
    for (const ids of seen) expect(ids).toEqual([`zones@${index}`]);
  });
});

describe("losing agents", () => {
  test("the leader dies: another leads, writes go on, and the dead one catches up when it is back", async () => {
    const replicas = await Replicas.form(3);
    const old = replicas.leader;
    if (old === null) throw new Error("no leader");
    await replicas.zone(old, "before");
    await replicas.kill(old);
    const other = replicas.anyUp();
    expect((await replicas.zone(other, "after")).result.ok).toBe(true);
    await replicas.restart(old);
    await replicas.settled();
    expect(zoneNames(replicas, old.n)).toEqual(["before", "after"]);
    expect(agree(replicas)).toBe(true);
  });

  test("a write under way when the leader dies takes effect once", async () => {
    const replicas = await Replicas.form(3);
    const old = replicas.leader;
    if (old === null) throw new Error("no leader");
    const writer = replicas.anyUp(old);
    // The leader commits, but what it would say about it is lost: neither answer nor commit index reaches the writer.
    let lost = 0;
    replicas.mesh.filter = ({ from, to, name }) => {
      const mute = from === old.peer && to === writer.peer && (name === "answer" || name === "raft");
      if (mute) lost += 1;
      return !mute;
    };
    const writing = writer.replica.submit({ type: "zone.create", name: "once" }, { by: "admin" });
    await replicas.clock.until(() => old.replica.state.zones.size === 1);
    expect(lost).toBeGreaterThan(0);
    await replicas.kill(old);
    replicas.mesh.filter = null;
    const { result } = await replicas.wait(writing);
    expect(result.ok).toBe(true);
    await replicas.settled();
    expect(zoneNames(replicas, writer.n)).toEqual(["once"]);
  });

  test("a write that its leader took and never spread is sent again to the next one", async () => {
    const replicas = await Replicas.form(3);
    const old = replicas.leader;
    if (old === null) throw new Error("no leader");
    const writer = replicas.anyUp(old);
    let taken = false;
    replicas.mesh.filter = ({ from, body }) => {
      if (from !== old.peer || typeof body !== "object" || body === null) return true;
      if ("ok" in body) taken = true;
      return !("type" in body) || body["type"] !== "append";
    };
    const writing = writer.replica.submit({ type: "zone.create", name: "again" }, { by: "admin" });
    await replicas.clock.until(() => taken);
    await replicas.kill(old);
    replicas.mesh.filter = null;
    expect((await replicas.wait(writing)).result.ok).toBe(true);
    await replicas.restart(old);
    await replicas.settled();
    expect(zoneNames(replicas, old.n)).toEqual(["again"]);
  });

  test("without a majority: reads go on and age, writes are refused and name who is missing", async () => {
    const replicas = await Replicas.form(3);
    const [one, ...others] = [replicas.host(2), replicas.host(1), replicas.host(3)];
    await replicas.zone(one, "kept");
    for (const host of others) await replicas.kill(host);
    const error = await replicas.zone(one, "lost", { timeoutMs: 3000 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({ kind: expect.stringMatching(/quorum_lost|outcome_unknown/) });
    await replicas.clock.advance(5000);
    const status = one.replica.status();
    expect(status).toMatchObject({ leader: null, quorum: false, missing: ["peer-1", "peer-3"] });
    expect(status.ageMs).toBeGreaterThan(5000);
    expect(zoneNames(replicas, 2)).toEqual(["kept"]);
    await expect(replicas.zone(one, "lost", { timeoutMs: 500 })).rejects.toMatchObject({
      kind: "quorum_lost",
      facts: { missing: ["peer-1", "peer-3"] },
    });
    await expect(replicas.wait(one.replica.readBarrier({ timeoutMs: 500 }))).rejects.toMatchObject({
      kind: "quorum_lost",
    });
    for (const host of others) await replicas.restart(host);
    await replicas.settled();
    expect((await replicas.zone(one, "again")).result.ok).toBe(true);
  });

  test("a write that was sent and never answered is told as unknown, with the caller's key", async () => {
    const replicas = await Replicas.form(3);
    const { leader } = replicas;
    if (leader === null) throw new Error("no leader");
    const writer = replicas.anyUp(leader);
    replicas.mesh.filter = ({ name }) => name !== "answer" && name !== "raft";
    await expect(replicas.zone(writer, "maybe", { key: "mine", timeoutMs: 800 })).rejects.toMatchObject({
      kind: "outcome_unknown",
      facts: { key: "mine" },
    });
  });

  test("all at once lose power and come back by themselves", async () => {
    const replicas = await Replicas.form(3);
    await replicas.zone(replicas.host(3), "kept");
    for (const host of replicas.hosts) await replicas.kill(host);
    for (const host of replicas.hosts) await replicas.restart(host);
    await replicas.settled();
    expect(agree(replicas)).toBe(true);
    expect((await replicas.zone(replicas.host(2), "next")).result.ok).toBe(true);
    expect(zoneNames(replicas, 2)).toEqual(["kept", "next"]);
  });

  test("who does not vote pulls from voters that do not lead, and from the leader when nobody else is there", async () => {
    const replicas = await Replicas.form(16);
    const pulls = new Map<string, number>();
    replicas.mesh.filter = ({ to, name }) => {
      if (name === "registry.pull") pulls.set(to, (pulls.get(to) ?? 0) + 1);
      return true;
    };
    const leader = replicas.leader?.peer ?? "";
    const followers = replicas.votersOf(replicas.host(1)).filter((peer) => peer !== leader);
    await replicas.clock.advance(3000); // What was under way when it was not known yet who leads.
    pulls.clear();
    for (let n = 1; n <= 20; n += 1) await replicas.zone(replicas.host(1), `z${n}`);
    expect(pulls.get(leader) ?? 0).toBe(0);
    expect([...pulls.keys()].every((peer) => followers.includes(peer))).toBe(true);
    expect(pulls.size).toBeGreaterThan(1);

    const learner = replicas.hosts.find(({ replica }) => replica.status().role === "learner");
    if (learner === undefined) throw new Error("there is no learner");
    replicas.mesh.cut(
      [learner.peer],
      replicas.hosts.map(({ peer }) => peer).filter((peer) => peer !== leader && peer !== learner.peer),
    );
    const { index } = await replicas.zone(replicas.host(1), "only the leader is there");
    await replicas.clock.until(() => learner.replica.status().applied >= index);
  });

  test("a dead voter gives way to a living member after its grace, and pulls when it is back", async () => {
    const replicas = await Replicas.form(4, { deadVoterMs: 3000 });
    const voters = replicas.votersOf(replicas.host(1));
    const dead = replicas.hosts.find(({ peer }) => voters.includes(peer) && peer !== replicas.leader?.peer);
    if (dead === undefined) throw new Error("no follower");
    await replicas.kill(dead);
    await replicas.clock.until(
      () => replicas.leader?.replica.status().config.voters.includes("peer-4") === true,
    );
    await replicas.settled();
    expect(replicas.votersOf(replicas.anyUp())).not.toContain(dead.peer);
    await replicas.restart(dead);
    await replicas.settled();
    expect(dead.replica.status().role).toBe("learner");
    expect(agree(replicas)).toBe(true);
  });

  test("a leader voted out while it was away gives up what it never committed", async () => {
    const replicas = await Replicas.form(4, { deadVoterMs: 3000 });
    const old = replicas.leader;
    if (old === null) throw new Error("no leader");
    const others = replicas.hosts.filter((host) => host !== old).map(({ peer }) => peer);
    replicas.mesh.cut([old.peer], others);
    const lost = old.replica.submit({ type: "zone.create", name: "lost" }, { by: "admin" });
    const lastSaved = old.disk.durable.entries.at(-1)?.index ?? 0;
    await replicas.clock.until(() => (old.disk.durable.entries.at(-1)?.index ?? 0) > lastSaved);
    const killed = replicas.kill(old);
    await expect(replicas.wait(lost)).rejects.toMatchObject({ kind: "outcome_unknown" });
    await killed;
    replicas.mesh.heal();
    await replicas.clock.until(
      () => replicas.leader?.replica.status().config.voters.includes(old.peer) === false,
    );
    await replicas.zone(replicas.anyUp(), "kept");
    await replicas.restart(old);
    await replicas.settled();
    expect(old.replica.status().role).toBe("learner");
    expect(zoneNames(replicas, old.n)).toEqual(["kept"]);
    expect(agree(replicas)).toBe(true);
  });

  test("a broken disk stops consensus on its agent only; stale reads go on there", async () => {
    const replicas = await Replicas.form(3);
    const follower = replicas.hosts.find(({ peer }) => peer !== replicas.leader?.peer);
    if (follower === undefined) throw new Error("no follower");
    await replicas.zone(follower, "kept");
    follower.disk.broken = new Error("EIO: i/o error");
    expect((await replicas.zone(replicas.anyUp(follower), "more")).result.ok).toBe(true);
    await replicas.clock.until(() => follower.replica.status().halted !== null);
    expect(follower.replica.status()).toMatchObject({ leader: null, quorum: false });
    expect(follower.replica.status().halted).toContain("EIO");
    expect(zoneNames(replicas, follower.n)).toEqual(["kept"]);
    await expect(replicas.zone(follower, "never")).rejects.toMatchObject({ kind: "quorum_lost" });
  });

  test("a leader whose disk breaks is replaced", async () => {
    const replicas = await Replicas.form(3);
    const { leader } = replicas;
    if (leader === null) throw new Error("no leader");
    leader.disk.broken = new Error("EIO: i/o error");
    const writing = leader.replica.submit({ type: "zone.create", name: "a" }, { by: "admin" });
    await expect(replicas.wait(writing)).rejects.toMatchObject({ kind: "outcome_unknown" });
    const other = replicas.anyUp(leader);
    expect((await replicas.zone(other, "b")).result.ok).toBe(true);
  });
});

describe("handing over", () => {
  test("the leader hands over before it stops", async () => {
    const replicas = await Replicas.form(3);
    const { leader } = replicas;
    if (leader === null) throw new Error("no leader");
    await replicas.wait(leader.replica.handOver(2000), 1000);
    await replicas.clock.until(() => replicas.leader !== null && replicas.leader !== leader, 500);
  });

  test("a sole voter has nobody to hand over to and does not wait", async () => {
    const replicas = await Replicas.form(1);
    await replicas.wait(replicas.host(1).replica.handOver(5000), 100);
  });
});

test("who takes no part any more shows what it knew, not an empty registry, until it forgets the cluster", async () => {
  const replicas = await Replicas.form(1);
  const { replica } = replicas.host(1);
  await replicas.zone(replicas.host(1), "kept");
  const { index } = replica.state;
  await replicas.wait(replica.stop());
  expect([replica.state.index, replica.state.zones.size]).toEqual([index, 1]);
  expect(replica.status()).toMatchObject({ leader: null, quorum: false });
  await replicas.wait(replica.forget());
  expect([replica.state.index, replica.state.cluster]).toEqual([0, null]);
});
