import { describe, expect, test } from "vitest";

import { DiskWatch, type Watched } from "#agent/registry/disk-watch.ts";
import { DiskRoom } from "#agent/registry/disk-room.ts";
import { loadBeginning } from "#agent/registry/start.ts";
import { StoreDamaged, WriteFailed } from "#agent/ports/store.ts";
import { emptyState } from "#shared/registry/reduce.ts";
import { isKind } from "#shared/errors/app-error.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeMesh } from "#test/support/fake-mesh.ts";
import { MemoryDisk, openMemoryStores } from "#test/support/memory-store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeMember } from "#test/support/registry-log.ts";

import { Replicas, type Host } from "./replicas.ts";

const nameOf = ({ n }: Host): string => makeMember(n).name;

const NO_SPACE = new Error("IO error: /memory/000007.log: No space left on device");
const FULL = { freeBytes: 0, totalBytes: 1e9 };
const ROOMY = { freeBytes: 5e8, totalBytes: 1e9 };
/** Below the reserve of 5 %, and still writable. */
const LOW = { freeBytes: 2e7, totalBytes: 1e9 };

function leaderOf(replicas: Replicas): Host {
  const { leader } = replicas;
  if (leader === null) throw new Error("nobody leads");
  return leader;
}

const followersOf = (replicas: Replicas): Host[] =>
  replicas.hosts.filter(({ peer }) => peer !== replicas.leader?.peer);

/** The disk answers no write any more until the returned function is called. */
function hang(host: Host): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  host.disk.beforeWrite = () => promise;
  return () => {
    host.disk.beforeWrite = () => Promise.resolve();
    resolve();
  };
}

function fill(host: Host): void {
  host.disk.broken = NO_SPACE;
  host.disk.space = FULL;
}

function free(host: Host): void {
  host.disk.broken = null;
  host.disk.space = ROOMY;
}

async function untilAnotherLeads(replicas: Replicas, old: Host): Promise<void> {
  const others = replicas.hosts.filter((host) => host !== old);
  await replicas.clock.until(() => others.some(({ replica }) => replica.status().role === "leader"), 10_000);
}

const names = (host: Host): string[] => [...host.replica.state.zones.values()].map(({ name }) => name);

describe("a disk that hangs", () => {
  test("a leader that nobody asks to write makes way for another within 10 s, and follows afterwards", async () => {
    const replicas = await Replicas.form(3);
    await replicas.clock.advance(10_000);
    const old = leaderOf(replicas);
    const release = hang(old);
    const others = followersOf(replicas);
    await untilAnotherLeads(replicas, old);
    // It has not heard of it: what it hears waits behind its disk.
    await replicas.clock.until(() => old.replica.status().role !== "leader", 2000);
    await replicas.zone(others[0] as Host, "without it");
    release();
    await replicas.settled();
    expect(names(old)).toEqual(["without it"]);
    expect(old.log.matching("the disk hangs; this agent leads no more")).toHaveLength(1);
  });

  test("when it cannot hand over it falls silent, and others elect", async () => {
    const replicas = await Replicas.form(3);
    await replicas.clock.advance(10_000);
    replicas.mesh.filter = ({ body }) => !JSON.stringify(body).includes('"timeout_now"');
    const old = leaderOf(replicas);
    const release = hang(old);
    await untilAnotherLeads(replicas, old);
    expect(old.replica.status()).toMatchObject({ leader: null, quorum: false });
    release();
    await replicas.settled();
  });

  test("alone in its cluster it says that it does not lead, and leads again once the disk answers", async () => {
    const replicas = await Replicas.form(1);
    const [host] = replicas.hosts as [Host];
    await replicas.clock.advance(10_000);
    const release = hang(host);
    await replicas.clock.until(() => host.replica.status().role !== "leader", 10_000);
    expect(host.replica.status()).toMatchObject({ leader: null, quorum: false, halted: null });
    release();
    await replicas.clock.until(() => host.replica.status().role === "leader", 5000);
    await replicas.zone(host, "again");
  });

  test("in a write: acknowledged by nobody, overruled, and applied once", async () => {
    const replicas = await Replicas.form(3);
    const old = leaderOf(replicas);
    const release = hang(old);
    const write = old.replica.submit(
      { type: "zone.create", name: "hung" },
      { by: "admin", timeoutMs: 30_000 },
    );
    await untilAnotherLeads(replicas, old);
    await replicas.clock.advance(3000);
    expect(old.replica.status()).toMatchObject({ role: "follower", leader: null });
    release();
    expect((await replicas.wait(write)).result.ok).toBe(true);
    await replicas.settled();
    expect(names(old)).toEqual(["hung"]);
  });

  test("stopping does not wait for it", async () => {
    const replicas = await Replicas.form(1);
    const [host] = replicas.hosts as [Host];
    await replicas.clock.advance(10_000);
    hang(host);
    await replicas.clock.until(() => host.replica.status().role !== "leader", 10_000);
    await replicas.wait(host.replica.stop(), 1000);
  });

  test("only an idle leader probes, and seldom", async () => {
    const replicas = await Replicas.form(3);
    await replicas.clock.advance(5000);
    const writes = new Map<string, number>();
    for (const host of replicas.hosts) {
      host.disk.beforeWrite = () => {
        writes.set(host.peer, (writes.get(host.peer) ?? 0) + 1);
        return Promise.resolve();
      };
    }
    await replicas.clock.advance(60_000);
    expect(writes).toEqual(new Map([[leaderOf(replicas).peer, 30]]));
  });
});

describe("a disk that is full", () => {
  test("on a follower: it stops there alone, serves what it had, and takes part again once there is room", async () => {
    const replicas = await Replicas.form(3);
    const [victim, other] = followersOf(replicas) as [Host, Host];
    await replicas.zone(other, "before");
    await replicas.settled();
    const resets: number[] = [];
    victim.replica.onReset((index) => void resets.push(index));
    fill(victim);
    await replicas.zone(other, "during");
    await replicas.clock.until(() => victim.replica.status().halted !== null);
    expect(victim.replica.status().halted).toContain("waits for its disk");
    expect(victim.replica.status().halted).toContain("No space left on device");
    const { applied } = victim.replica.status();
    await replicas.clock.advance(1000);
    expect(names(victim)).toEqual(["before"]);
    await expect(replicas.zone(victim, "refused")).rejects.toMatchObject({
      kind: "disk_full",
      facts: { host: nameOf(victim), path: "/memory", free_bytes: 0, needed_bytes: 5e7 },
    });
    await replicas.clock.advance(20_000);
    expect(victim.replica.status().ageMs).toBeGreaterThan(19_000);
    await replicas.zone(other, "later");
    expect(names(victim)).toEqual(["before"]);

    free(victim);
    let oldest = Number.MAX_SAFE_INTEGER;
    await replicas.clock.until(() => {
      oldest = Math.min(oldest, victim.replica.status().applied);
      return victim.replica.status().halted === null;
    });
    await replicas.settled();
    expect(oldest).toBe(applied); // Nobody was shown an older state than before.
    expect(resets).toEqual([]);
    expect(names(victim)).toEqual(["before", "during", "later"]);
    await replicas.zone(victim, "after");
    expect(victim.log.matching("back in the cluster")).toHaveLength(1);
  });

  test("on the leader: another leads, nothing acknowledged is lost, nothing is doubled", async () => {
    const replicas = await Replicas.form(3);
    const old = leaderOf(replicas);
    const told: string[] = [];
    const unknown: string[] = [];
    const write = async (host: Host, name: string): Promise<void> => {
      try {
        await host.replica.submit({ type: "zone.create", name }, { by: "admin", timeoutMs: 20_000 });
        told.push(name);
      } catch (error) {
        if (isKind(error, "outcome_unknown")) unknown.push(name);
        else expect(error).toMatchObject({ kind: "disk_full" });
      }
    };
    const writes: Promise<void>[] = [];
    for (let i = 0; i < 60; i += 1) {
      if (i === 20) fill(old);
      if (i === 40) free(old);
      for (const host of replicas.hosts) writes.push(write(host, `${host.n}-${i}`));
      await replicas.clock.advance(100);
    }
    await replicas.wait(Promise.all(writes));
    await replicas.settled();
    expect(new Set(replicas.registries()).size).toBe(1);
    const there = names(old);
    expect(told.filter((name) => !there.includes(name))).toEqual([]);
    expect(new Set(there).size).toBe(there.length);
    expect(there.filter((name) => !told.includes(name) && !unknown.includes(name))).toEqual([]);
    expect(told.length).toBeGreaterThan(100);
  });

  test("an error of another kind is waited for like this, and told apart", async () => {
    const replicas = await Replicas.form(3);
    const [victim, other] = followersOf(replicas) as [Host, Host];
    victim.disk.broken = new Error("IO error: /memory/000007.log: Input/output error");
    await replicas.zone(other, "during");
    await replicas.clock.until(() => victim.replica.status().halted !== null);
    await replicas.clock.advance(10_000);
    expect(victim.replica.status().halted).toContain("Input/output error");
    await expect(replicas.zone(victim, "refused")).rejects.toMatchObject({ kind: "quorum_lost" });
    const { applied } = victim.replica.status();
    expect(await victim.replica.waitForIndex(applied, { timeoutMs: 1000 })).toBe(applied);
    const release = hang(victim); // While the stores are opened anew.
    await replicas.clock.advance(2000);
    const late = victim.replica.waitForIndex(applied + 5, { timeoutMs: 1000 });
    await expect(replicas.wait(late, 2000)).rejects.toMatchObject({ kind: "quorum_lost" });
    victim.disk.broken = null;
    release();
    await replicas.settled();
    expect(names(victim)).toEqual(["during"]);
  });

  test("on all three: reads go on everywhere, writes are refused, and it recovers", async () => {
    const replicas = await Replicas.form(3);
    await replicas.zone(replicas.host(1), "kept");
    await replicas.settled();
    for (const host of replicas.hosts) fill(host);
    await replicas.clock.advance(20_000);
    for (const host of replicas.hosts) {
      const kinds = ["disk_full", "quorum_lost", "outcome_unknown"];
      const error = await replicas.zone(host, `no ${host.n}`, { timeoutMs: 5000 }).catch((e: unknown) => e);
      expect(kinds).toContain((error as { kind?: string }).kind);
      expect(names(host)).toEqual(["kept"]);
    }
    for (const host of replicas.hosts) free(host);
    await replicas.settled();
    for (const host of replicas.hosts) await replicas.zone(host, `yes ${host.n}`);
    await replicas.settled();
    for (const host of replicas.hosts)
      expect(names(host).toSorted()).toEqual(["kept", "yes 1", "yes 2", "yes 3"]);
  });

  test("a log that has lost what was already applied is damage, not a reason to go back", async () => {
    const stores = openMemoryStores(new MemoryDisk());
    const held = { ...emptyState(), index: 5 };
    await expect(loadBeginning(stores, held)).rejects.toThrow(
      "log entries 1 to 5 were committed and are missing",
    );
  });

  test("an agent without a cluster can write again, too", async () => {
    const replicas = new Replicas();
    const host = await replicas.found();
    await replicas.wait(host.replica.stop());
    fill(host);
    await expect(replicas.wait(host.replica.forget())).rejects.toBeInstanceOf(WriteFailed);
    free(host);
    await replicas.clock.advance(3000);
    await replicas.wait(host.replica.forget());
  });
});

describe("a disk that is almost full", () => {
  test("a leader hands over to a voter that has room", async () => {
    const replicas = await Replicas.form(3);
    const old = leaderOf(replicas);
    const [tight, roomy] = followersOf(replicas) as [Host, Host];
    old.disk.space = LOW;
    tight.disk.space = LOW;
    await replicas.clock.until(() => replicas.leader?.peer === roomy.peer, 15_000);
    await replicas.clock.advance(30_000);
    expect(leaderOf(replicas).peer).toBe(roomy.peer);
    await replicas.zone(old, "goes on");
  });

  test("where nobody has room, the leader takes no new commands, from here or elsewhere, until there is some", async () => {
    const replicas = await Replicas.form(3);
    const leader = leaderOf(replicas);
    for (const host of replicas.hosts) host.disk.space = LOW;
    await replicas.clock.advance(5000);
    for (const host of replicas.hosts) {
      await expect(replicas.zone(host, "refused")).rejects.toMatchObject({
        kind: "disk_full",
        facts: { host: nameOf(leader), free_bytes: LOW.freeBytes, needed_bytes: 5e7 },
      });
    }
    expect(leader.log.matching("the disk is almost full")).toHaveLength(1);
    for (const host of replicas.hosts) host.disk.space = ROOMY;
    await replicas.clock.advance(2000);
    await replicas.zone(leader, "taken");
    expect(names(leader)).toEqual(["taken"]);
  });
});

describe("damage at rest", () => {
  test("ends consensus on that agent within a minute, with what to do; the others go on", async () => {
    const replicas = await Replicas.form(3);
    const victim = leaderOf(replicas);
    await replicas.zone(victim, "kept");
    victim.disk.damage = new StoreDamaged("the log entry 3 fails its checksum", "move it away and join anew");
    await replicas.clock.until(() => victim.replica.status().halted !== null, 60_000);
    expect(victim.replica.status().halted).toContain("the log entry 3 fails its checksum; move it away");
    expect(names(victim)).toEqual(["kept"]);
    const other = replicas.hosts.find(({ peer }) => peer !== victim.peer) as Host;
    await untilAnotherLeads(replicas, victim);
    await replicas.zone(other, "goes on");
    await expect(replicas.zone(victim, "refused")).rejects.toMatchObject({ kind: "quorum_lost" });
  });
});

describe("what the watchdog is told", () => {
  function bed(part: Partial<Watched>) {
    const clock = new FakeClock();
    const log = new RecordingLog();
    const memory = new MemoryDisk();
    const { disk } = openMemoryStores(memory);
    const room = new DiskRoom(
      { disk, log, transport: new FakeMesh({ clock }).join("peer-1") },
      { reserveBytes: 0 },
    );
    const watched: Watched = {
      leads: false,
      waitsMs: 0,
      savedAtMs: 0,
      failure: null,
      status: () => ({ applied: 5, commit: 5, halted: null }),
      rivals: () => [],
      handOver: () => Promise.resolve(),
      stepAside: () => undefined,
      fail: () => undefined,
      ...part,
    };
    const watch = new DiskWatch({
      disk,
      room,
      clock,
      log,
      part: () => watched,
      onDamage: () => undefined,
      mend: () => Promise.resolve(),
    });
    watch.start();
    return { watch, clock, memory };
  }

  test("nothing is wrong with an agent that is idle, or behind for a while", async () => {
    let applied = 5;
    const { watch, clock } = bed({ status: () => ({ applied: (applied += 1), commit: 900, halted: null }) });
    await clock.advance(300_000);
    expect(watch.healthy()).toBe(true);
  });

  test.each<[string, Partial<Watched>]>([
    ["what is committed is not applied", { status: () => ({ applied: 5, commit: 6, halted: null }) }],
    ["a turn waits for the disk", { waitsMs: 60_000 }],
  ])("a restart is due when %s for a minute", async (_what, part) => {
    const { watch, clock } = bed(part);
    await clock.advance(70_000);
    expect(watch.healthy()).toBe(false);
  });

  test("a restart is due when a probe hangs for a minute, and not before", async () => {
    const { watch, clock, memory } = bed({ leads: true });
    memory.beforeWrite = () => new Promise(() => undefined);
    await clock.advance(50_000);
    expect(watch.healthy()).toBe(true);
    await clock.advance(20_000);
    expect(watch.healthy()).toBe(false);
  });

  test("what is halted says so itself, and is not restarted for it", async () => {
    const { watch, clock } = bed({ status: () => ({ applied: 5, commit: 6, halted: "an unknown command" }) });
    await clock.advance(300_000);
    expect(watch.healthy()).toBe(true);
  });
});
