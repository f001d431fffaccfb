import { describe, expect, test } from "vitest";

import { StoreDamaged } from "#agent/ports/store.ts";
import { encodeState } from "#shared/registry/snapshot.ts";

import { Replicas, type Host } from "./replicas.ts";

const names = (host: Host): string[] => [...host.replica.state.zones.values()].map(({ name }) => name);

/** Three voters with a zone, of which only the third is left. */
async function lastOfThree(): Promise<{ replicas: Replicas; last: Host }> {
  const replicas = await Replicas.form(3);
  await replicas.zone(replicas.host(1), "before");
  await replicas.settled();
  await replicas.kill(replicas.host(1));
  await replicas.kill(replicas.host(2));
  return { replicas, last: replicas.host(3) };
}

/**
 * From this synced write on, writes of the host fail until the returned function is called; that one reaches the disk all the
 * same, or does not.
 */
function breakAt(host: Host, write: number, reaches = false): () => void {
  const { disk } = host;
  const real = disk.write.bind(disk);
  let writes = 0;
  disk.write = async (sync, change) => {
    if (sync) writes += 1;
    if (writes < write) return real(sync, change);
    if (reaches && writes === write) await real(sync, change);
    throw new Error("EIO");
  };
  return () => {
    disk.write = real;
  };
}

describe("what a host holds", () => {
  test("is nothing before it is in a cluster", async () => {
    const replicas = await Replicas.form(1);
    const [host] = replicas.hosts;
    if (host === undefined) throw new Error("no host");
    await replicas.wait(host.replica.forget());
    expect(await host.replica.copy()).toBeNull();
  });

  test("is what it applied, and the copy is its own", async () => {
    const replicas = await Replicas.form(3, { snapshotEntries: 5, logTailEntries: 2 });
    for (let i = 0; i < 20; i += 1) await replicas.zone(replicas.host(1), `zone ${i}`);
    await replicas.settled();
    for (const { replica, n } of replicas.hosts) {
      const copy = await replica.copy();
      expect(copy?.identity).toMatchObject({ clusterId: "c1", uid: n });
      expect(copy && encodeState(copy.state)).toBe(encodeState(replica.state));
      copy?.state.zones.clear();
      expect(replica.state.zones.size).toBe(20);
    }
  });

  // Dissertation §3.6.2: this host's answer made the majority, and the leader had no time to say so.
  test("includes what was acknowledged to a client and is not known here to be committed", async () => {
    const replicas = await Replicas.form(3);
    const leader = replicas.leader as Host;
    const [left, away] = replicas.hosts.filter((host) => host !== leader) as [Host, Host];
    replicas.mesh.cut([away.peer], [leader.peer, left.peer]);
    let carried = false;
    replicas.mesh.filter = ({ from, to, body }) => {
      if (from !== leader.peer || to !== left.peer) return true;
      const text = JSON.stringify(body);
      if (carried) return false; // Whatever would tell of the commit.
      carried = text.includes("acknowledged");
      return true;
    };
    const { index, result } = await replicas.zone(leader, "acknowledged");
    expect(result.ok).toBe(true);
    await replicas.kill(leader);
    expect(names(left)).toEqual([]);
    expect(left.replica.status().commit).toBeLessThan(index);
    const copy = await left.replica.copy();
    expect([...(copy?.state.zones.values() ?? [])].map(({ name }) => name)).toEqual(["acknowledged"]);
    replicas.mesh.filter = null;
    await replicas.recover(left);
    expect(names(left)).toEqual(["acknowledged"]);
  });

  test("is not given out when entries that were committed are missing", async () => {
    const { last } = await lastOfThree();
    last.disk.seen.entries = last.disk.seen.entries.slice(0, -3);
    await expect(last.replica.copy()).rejects.toBeInstanceOf(StoreDamaged);
  });

  test("is not given out when this version does not know one of its commands", async () => {
    const { last } = await lastOfThree();
    const { entries } = last.disk.seen;
    const at = entries.findLastIndex(({ data }) => data.includes("zone.create"));
    const strange = entries[at];
    if (strange === undefined) throw new Error("no zone was made");
    entries[at] = { ...strange, data: strange.data.replace("zone.create", "zone.paint") };
    await expect(last.replica.copy()).rejects.toThrow("upgrade this agent");
  });
});

describe("a recovery", () => {
  test("makes one of three voters a cluster that can be written, with all that it held", async () => {
    const { replicas, last } = await lastOfThree();
    const { index: before } = last.replica.state;
    await expect(replicas.zone(last, "in vain", { timeoutMs: 2000 })).rejects.toThrow();
    await replicas.recover(last);
    const status = last.replica.status();
    expect(status).toMatchObject({ role: "leader", quorum: true, halted: null });
    expect(status.config).toEqual({ voters: [last.peer], outgoing: [], learners: [] });
    const { index, result } = await replicas.zone(last, "after");
    expect(result.ok).toBe(true);
    expect(index).toBeGreaterThan(before + 1_000_000);
    expect(names(last)).toEqual(["before", "after"]);
    expect(last.replica.state.cluster).toMatchObject({ incarnation: 2 });
    // Nothing but itself and what came since is on the disk, and that in a later term than all before.
    const { snapshot, entries, hardState } = last.disk.durable;
    const { meta } = snapshot ?? { meta: { index: 0, term: Infinity, config: { voters: [] } } };
    expect(meta.config.voters).toEqual([last.peer]);
    expect(entries[0]?.index).toBe(meta.index + 1);
    expect(entries.map(({ term }) => term > meta.term)).toEqual(entries.map(() => true));
    expect(hardState.term).toBeGreaterThan(meta.term);
  });

  test("is there after a power cut, and its commands take effect once and are answered", async () => {
    const { replicas, last } = await lastOfThree();
    const identity = await replicas.recover(last);
    await replicas.zone(last, "one", { key: "k" });
    await replicas.kill(last);
    await replicas.restart(last);
    await replicas.clock.until(() => last.replica.status().quorum, 10_000);
    expect(last.disk.durable.cluster).toEqual(identity);
    expect((await replicas.zone(last, "one", { key: "k" })).result.ok).toBe(true);
    expect((await replicas.zone(last, "two")).result.ok).toBe(true);
    expect(names(last)).toEqual(["before", "one", "two"]);
  });

  test("may be needed again: each one is another incarnation, beyond every index there was", async () => {
    const { replicas, last } = await lastOfThree();
    await replicas.recover(last);
    const first = (await replicas.zone(last, "one")).index;
    const again = await replicas.recover(last);
    expect(again.incarnation).toBe(3);
    expect((await replicas.zone(last, "two")).index).toBeGreaterThan(first + 1_000_000);
    expect(last.replica.state.cluster).toMatchObject({ incarnation: 3 });
    expect(names(last)).toEqual(["before", "one", "two"]);
  });

  test("takes in others, who catch up over the gap and vote", async () => {
    const { replicas, last } = await lastOfThree();
    await replicas.recover(last);
    for (const n of [1, 2]) {
      await replicas.write(last, { type: "member.remove", peer: `peer-${n}` });
    }
    const fourth = await replicas.join();
    const fifth = await replicas.join();
    await replicas.settled();
    expect(replicas.votersOf(last).toSorted()).toEqual(
      [last, fourth, fifth].map(({ peer }) => peer).toSorted(),
    );
    expect(new Set(replicas.registries()).size).toBe(1);
    await replicas.kill(last);
    await replicas.settled();
    expect((await replicas.zone(fourth, "without it")).result.ok).toBe(true);
  });

  test("carries on where the host has a copy of somebody else", async () => {
    const { replicas, last } = await lastOfThree();
    await replicas.restart(replicas.host(1)).catch(() => undefined);
    const copy = await last.replica.copy();
    if (copy === null) throw new Error("nothing is held");
    const other = replicas.host(1);
    await replicas.wait(other.replica.forget());
    expect(await other.replica.copy()).toBeNull();
    const { identity, state } = copy;
    state.index += 10;
    const next = { ...identity, incarnation: 2, lineage: "l", uid: 1 };
    let entered = 0;
    await replicas.wait(other.replica.recover(next, state, () => (entered += 1)));
    expect(entered).toBe(1);
    expect((await replicas.zone(other, "here")).result.ok).toBe(true);
    expect(names(other)).toEqual(["before", "here"]);
  });
});

describe("a recovery whose write fails", () => {
  test.each([1, 2])(
    "(the write %i of two) leaves the former participation, which goes on once the disk is well",
    async (write) => {
      const { replicas, last } = await lastOfThree();
      const former = encodeState(last.replica.state);
      const mend = breakAt(last, write);
      await expect(replicas.recover(last)).rejects.toThrow("EIO");
      expect(last.replica.status().halted).toContain("waits for its disk");
      expect(encodeState(last.replica.state)).toBe(former);
      mend();
      await replicas.clock.until(() => last.replica.status().halted === null, 10_000);
      expect(last.disk.durable.cluster?.incarnation).toBe(1);
      expect(last.replica.healthy()).toBe(true);
      await replicas.restart(replicas.host(1));
      await replicas.restart(replicas.host(2));
      await replicas.settled();
      await replicas.zone(last, "with the others");
      expect(names(last)).toEqual(["before", "with the others"]);
    },
  );

  test("and is on the disk all the same is gone on with only by a new start", async () => {
    const { replicas, last } = await lastOfThree();
    const mend = breakAt(last, 2, true);
    await expect(replicas.recover(last)).rejects.toThrow("EIO");
    mend();
    await replicas.clock.until(() => !last.replica.healthy(), 10_000);
    expect(last.replica.status().halted).toContain("restart this agent");
    await replicas.clock.advance(10_000);
    expect(last.replica.status()).toMatchObject({ quorum: false });
    await replicas.kill(last);
    await replicas.restart(last);
    await replicas.clock.until(() => last.replica.status().quorum, 10_000);
    expect(last.disk.durable.cluster?.incarnation).toBe(2);
    expect((await replicas.zone(last, "after")).result.ok).toBe(true);
  });

  test("is over for good: nothing of it happens later", async () => {
    const { replicas, last } = await lastOfThree();
    const mend = breakAt(last, 1);
    await expect(replicas.recover(last)).rejects.toThrow("EIO");
    await expect(replicas.recover(last)).rejects.toThrow("EIO");
    mend();
    await replicas.clock.advance(20_000);
    expect(last.disk.durable.cluster?.incarnation).toBe(1);
    expect((await replicas.recover(last)).incarnation).toBe(2);
  });

  test("is not begun on a disk that was found to lie", async () => {
    const { replicas, last } = await lastOfThree();
    const copy = await last.replica.copy();
    if (copy === null) throw new Error("nothing is held");
    last.disk.damage = new StoreDamaged("a table is damaged", "move it away");
    await replicas.clock.until(() => last.replica.status().halted !== null, 10_000);
    const next = { ...copy.identity, incarnation: 2, lineage: "l" };
    let entered = 0;
    const recovering = last.replica.recover(next, copy.state, () => (entered += 1));
    await expect(replicas.wait(recovering)).rejects.toThrow("a table is damaged");
    expect(entered).toBe(0);
    expect(last.disk.durable.cluster?.incarnation).toBe(1);
  });

  test("waits for nobody while the stores are being opened anew", async () => {
    const { replicas, last } = await lastOfThree();
    const former = breakAt(last, 1);
    await expect(replicas.recover(last)).rejects.toThrow("EIO");
    former();
    let release = (): void => undefined;
    last.disk.beforeWrite = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    await replicas.clock.advance(2000); // The watch is at it.
    await expect(replicas.recover(last)).rejects.toMatchObject({ kind: "quorum_lost" });
    last.disk.beforeWrite = () => Promise.resolve();
    release();
    await replicas.clock.until(() => last.replica.status().halted === null, 10_000);
    expect(last.disk.durable.cluster?.incarnation).toBe(1);
  });
});
