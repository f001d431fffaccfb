import { describe, expect, test } from "vitest";

import { encodeState } from "#shared/registry/snapshot.ts";

import { Replicas, type Host } from "./replicas.ts";

/** Small enough that a few dozen zones make a snapshot and forget the log behind it. */
const EAGER = { snapshotEntries: 20, logTailEntries: 5 };

async function zones(replicas: Replicas, host: Host, from: number, to: number): Promise<void> {
  const all: Promise<unknown>[] = [];
  for (let n = from; n <= to; n += 1) {
    all.push(host.replica.submit({ type: "zone.create", name: `z${n}` }, { by: "admin" }));
    if (n % 10 === 0) await replicas.wait(Promise.all(all.splice(0)));
  }
  await replicas.wait(Promise.all(all));
}

const same = (replicas: Replicas): boolean => new Set(replicas.registries()).size === 1;

describe("snapshots", () => {
  test("are taken as the log grows, and the log behind them is forgotten", async () => {
    const replicas = await Replicas.form(1, EAGER);
    const host = replicas.host(1);
    await zones(replicas, host, 1, 100);
    await replicas.clock.advance(200);
    const { snapshot, entries } = host.disk.seen;
    expect(snapshot?.meta.index).toBeGreaterThan(60);
    expect(entries.length).toBeLessThan(60);
    expect(entries[0]?.index).toBeLessThanOrEqual((snapshot?.meta.index ?? 0) + 1);
  });

  test("a restart from snapshot and log gives the same registry", async () => {
    const replicas = await Replicas.form(3, EAGER);
    await zones(replicas, replicas.host(1), 1, 60);
    await replicas.settled();
    const before = replicas.registries()[0];
    for (const host of replicas.hosts) await replicas.kill(host);
    for (const host of replicas.hosts) await replicas.restart(host);
    // A leader that has just been elected does not know yet what the last one had committed.
    await replicas.wait(replicas.host(1).replica.readBarrier({ timeoutMs: 10_000 }));
    await replicas.settled();
    for (const { replica } of replicas.hosts) {
      const { members, zones } = replica.state;
      expect([members.size, zones.size]).toEqual([3, 60]);
    }
    expect(same(replicas)).toBe(true);
    expect(before).toBeDefined();
  });

  test("a large state is not written again for every few entries", async () => {
    const replicas = await Replicas.form(1, EAGER);
    const host = replicas.host(1);
    const bulk = { padding: "x".repeat(50_000) };
    const node = { zone_id: 1, uri: "redis://x", cfg: bulk };
    await zones(replicas, host, 1, 1);
    for (let n = 1; n <= 20; n += 1) {
      await replicas.write(host, { type: "node.register", uuid: `uuid-${n}`, ...node });
    }
    await zones(replicas, host, 2, 40);
    await replicas.clock.advance(200);
    const taken = host.log.matching("took a snapshot").length;
    await zones(replicas, host, 41, 200); // Many entries, but few bytes beside a large state.
    await replicas.clock.advance(200);
    expect(host.log.matching("took a snapshot").length - taken).toBeLessThanOrEqual(1);
  });

  test("a voter that was away too long installs the leader's", async () => {
    const replicas = await Replicas.form(3, EAGER);
    const away = replicas.hosts.find(({ peer }) => peer !== replicas.leader?.peer);
    if (away === undefined) throw new Error("no follower");
    await replicas.kill(away);
    await zones(replicas, replicas.anyUp(), 1, 80);
    await replicas.restart(away);
    const resets: number[] = [];
    away.replica.onReset((index) => resets.push(index));
    await replicas.settled();
    expect(away.log.matching("installed a snapshot").length).toBeGreaterThan(0);
    expect(resets.length).toBeGreaterThan(0);
    expect(same(replicas)).toBe(true);
    await zones(replicas, away, 81, 90);
    await replicas.settled();
    expect(same(replicas)).toBe(true);
  });

  test("a newcomer behind the log installs one, and a learner that was away does too", async () => {
    const replicas = await Replicas.form(4, EAGER);
    const learner = replicas.host(4);
    expect(learner.replica.status().role).toBe("learner");
    await replicas.kill(learner);
    await zones(replicas, replicas.host(1), 1, 80);
    await replicas.restart(learner);
    await replicas.settled();
    expect(learner.log.matching("installed a snapshot").length).toBeGreaterThan(0);
    const newcomer = await replicas.join();
    await replicas.settled();
    expect(newcomer.log.matching("installed a snapshot").length).toBeGreaterThan(0);
    expect(same(replicas)).toBe(true);
  });

  test("a damaged one is not installed; the sound one that follows is", async () => {
    const replicas = await Replicas.form(4, EAGER);
    const learner = replicas.host(4);
    await replicas.kill(learner);
    await zones(replicas, replicas.host(1), 1, 80);
    await replicas.restart(learner);
    let spoilt = 0;
    replicas.mesh.filter = (passing) => {
      const { body } = passing;
      const isPiece =
        passing.to === learner.peer && typeof body === "object" && body !== null && "sha256" in body;
      if (!isPiece || spoilt >= 3) return true;
      spoilt += 1;
      Object.assign(body, { sha256: "0".repeat(64) });
      return true;
    };
    await replicas.settled();
    expect(spoilt).toBe(3);
    expect(same(replicas)).toBe(true);
  });

  test("a waiting writer whose entry comes inside a snapshot is answered", async () => {
    const replicas = await Replicas.form(4, EAGER);
    const learner = replicas.host(4);
    await replicas.settled();
    // The leader takes the learner's write and says so; then nothing reaches it until the log is forgotten behind it.
    replicas.mesh.filter = ({ to, body }) =>
      to !== learner.peer || (typeof body === "object" && body !== null && "ok" in body);
    const writing = learner.replica.submit(
      { type: "zone.create", name: "mine" },
      { by: "admin", timeoutMs: 30_000 },
    );
    await replicas.clock.until(() => replicas.host(1).replica.state.zones.size === 1);
    await zones(replicas, replicas.host(1), 1, 80);
    replicas.mesh.filter = null;
    const { result } = await replicas.wait(writing);
    expect(result.ok).toBe(true);
    expect(learner.log.matching("installed a snapshot").length).toBeGreaterThan(0);
    await replicas.settled();
    expect(encodeState(learner.replica.state)).toBe(replicas.registries()[0]);
  });

  test("a crash between saving a fetched snapshot and clearing the log is mended at the next start", async () => {
    const replicas = await Replicas.form(3, EAGER);
    const away = replicas.hosts.find(({ peer }) => peer !== replicas.leader?.peer);
    if (away === undefined) throw new Error("no follower");
    await replicas.kill(away);
    await zones(replicas, replicas.anyUp(), 1, 80);
    await replicas.clock.advance(200);
    const { snapshot } = replicas.anyUp().disk.durable;
    if (snapshot === null) throw new Error("no snapshot");
    away.disk.seen.snapshot = snapshot; // Beside the old, much shorter log.
    await replicas.restart(away);
    expect(away.replica.state.index).toBe(snapshot.meta.index);
    await replicas.settled();
    expect(same(replicas)).toBe(true);
  });
});

describe("damage", () => {
  test("a gap between snapshot and log, or a lost committed entry, stops the start with advice", async () => {
    const replicas = await Replicas.form(1, EAGER);
    const host = replicas.host(1);
    await zones(replicas, host, 1, 80);
    await replicas.kill(host);
    const { entries, hardState } = host.disk.seen;
    const last = entries.at(-1)?.index ?? 0;
    host.disk.seen.hardState = { ...hardState, commit: last + 2 };
    await expect(replicas.restart(host)).rejects.toThrow(
      `log entries ${last + 1} to ${last + 2} were committed`,
    );
    host.disk.seen.hardState = hardState;
    host.disk.seen.snapshot = null;
    await expect(replicas.restart(host)).rejects.toThrow(/log entries 1 to \d+ are missing/);
  });
});
