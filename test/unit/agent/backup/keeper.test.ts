import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { packBackup } from "#agent/backup/form.ts";
import { BackupKeeper } from "#agent/backup/keeper.ts";
import type { BackupFile } from "#agent/ports/backup.ts";
import type { RegistryStatus } from "#agent/ports/registry.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { epochMs } from "#shared/lib/time.ts";
import type { RegistryState } from "#shared/registry/state.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeCluster } from "#test/support/registry-log.ts";

const HOUR = 3_600_000;
const MINUTE = 60_000;
const IDENTITY: ClusterIdentity = { clusterId: "cluster-1", incarnation: 1, uid: 1, contacts: [] };

/** Keeps what it is given in memory; fails or hangs when told to. */
class MemoryBackups {
  readonly saved: BackupFile[] = [];
  tries = 0;
  failing = false;
  hanging: Promise<void> | null = null;
  readonly #clock: FakeClock;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  async save(state: Readonly<RegistryState>, identity: ClusterIdentity): Promise<BackupFile> {
    this.tries += 1;
    const { head } = packBackup(state, identity, { host: "h", softwareVersion: "1", at: this.#clock.now() });
    await this.hanging;
    if (this.failing) throw new AppError("path_error", { path: "/x", cause: "no space" });
    const file = { path: `/${head.index}`, head };
    this.saved.push(file);
    return file;
  }

  async newest(clusterId: string): Promise<BackupFile | null> {
    return this.saved.findLast(({ head }) => head.cluster_id === clusterId) ?? null;
  }
}

let clock: FakeClock;
let backups: MemoryBackups;
let registry: LocalRegistry;
let log: RecordingLog;
let identity: ClusterIdentity | null;
let status: Partial<RegistryStatus>;
let keepers: BackupKeeper[];

beforeEach(async () => {
  clock = new FakeClock();
  backups = new MemoryBackups(clock);
  registry = new LocalRegistry();
  log = new RecordingLog();
  identity = IDENTITY;
  status = {};
  keepers = [];
  await registry.submit(makeCluster(), { by: "agent" });
});
afterEach(() => {
  for (const keeper of keepers) keeper[Symbol.dispose]();
  expect(clock.timers).toBe(0);
});

function keep({ intervalMs = 6 * HOUR, random = 0 } = {}): void {
  const keeper = new BackupKeeper(
    {
      backups,
      registry: { state: registry.state, status: () => ({ ...registry.status(), ...status }) },
      identity: () => identity,
      clock,
      random: () => random,
      log,
    },
    { intervalMs },
  );
  keepers.push(keeper);
  keeper.start();
}

const change = (): Promise<unknown> =>
  registry.submit({ type: "zone.create", name: `zone ${registry.state.index}` }, { by: "agent" });

describe("a backup is made", () => {
  test("soon after the host has become a member, then every interval", async () => {
    identity = null;
    keep();
    await clock.advance(12 * HOUR);
    expect(backups.tries).toBe(0);
    identity = IDENTITY;
    await clock.advance(MINUTE);
    expect(backups.saved.map(({ head }) => head.index)).toEqual([1]);
    await change();
    await clock.advance(6 * HOUR - MINUTE);
    expect(backups.saved).toHaveLength(1);
    await clock.advance(MINUTE);
    expect(backups.saved.map(({ head }) => head.index)).toEqual([1, 2]);
  });

  test("after a restart when the newest one is old enough, and not before", async () => {
    await backups.save(registry.state, IDENTITY);
    await change();
    clock.jumpWall(4 * HOUR);
    keep();
    await clock.advance(2 * HOUR - MINUTE);
    expect(backups.saved).toHaveLength(1);
    await clock.advance(2 * MINUTE);
    expect(backups.saved).toHaveLength(2);
  });

  test("soon when the newest one says that it is of the future: the clock was wrong", async () => {
    await backups.save(registry.state, IDENTITY);
    await change();
    clock.jumpWall(-10_000 * HOUR);
    keep();
    await clock.advance(MINUTE);
    expect(backups.saved).toHaveLength(2);
  });

  test("soon in another cluster, and once the cluster was recovered, though the index is the same", async () => {
    keep();
    await clock.advance(MINUTE);
    identity = { ...IDENTITY, clusterId: "cluster-2" };
    await clock.advance(MINUTE);
    expect(backups.saved.map(({ head }) => head.cluster_id)).toEqual(["cluster-1", "cluster-2"]);
    identity = { ...identity, incarnation: 2 };
    await clock.advance(MINUTE);
    expect(backups.saved.map(({ head }) => head.incarnation)).toEqual([1, 1, 2]);
  });

  test("not by all agents at once", async () => {
    keep({ random: 0 });
    keep({ random: 0.99 });
    await clock.advance(MINUTE);
    expect(backups.saved).toHaveLength(2);
    const takenAt = backups.saved.map(({ head }) => head.taken_at_ms);
    expect((takenAt[1] ?? 0) - (takenAt[0] ?? 0)).toBeGreaterThanOrEqual(9000);
    await change();
    await clock.advance(6 * HOUR);
    expect(backups.saved).toHaveLength(3);
    await clock.advance(5 * MINUTE);
    expect(backups.saved).toHaveLength(4);
  });
});

describe("a backup is not made", () => {
  test("of what was in the last one already", async () => {
    keep();
    await clock.advance(24 * HOUR);
    expect(backups.tries).toBe(1);
    await change();
    await clock.advance(6 * HOUR);
    expect(backups.tries).toBe(2);
  });

  test("of a copy that stands still or is not to be served; once it is well again, at once", async () => {
    for (const ill of [{ quarantined: true }, { halted: "its disk is full" }]) {
      status = ill;
      keep();
      await clock.advance(7 * HOUR);
      expect(backups.tries).toBe(0);
    }
    status = {};
    keepers.pop()?.[Symbol.dispose]();
    await clock.advance(MINUTE);
    expect(backups.tries).toBe(1);
  });

  test("with an interval of 0", async () => {
    keep({ intervalMs: 0 });
    await clock.advance(100 * HOUR);
    expect([backups.tries, clock.timers]).toEqual([0, 0]);
  });

  test("before the registry has been read", async () => {
    const empty = new LocalRegistry();
    registry.replace(empty.state);
    keep();
    await clock.advance(7 * HOUR);
    expect(backups.tries).toBe(0);
  });
});

describe("a failure", () => {
  test("is logged and tried again before the interval is over", async () => {
    backups.failing = true;
    keep();
    await clock.advance(MINUTE);
    expect(log.matching("the backup failed")).toHaveLength(1);
    await clock.advance(HOUR);
    expect(backups.tries).toBeGreaterThan(3);
    expect(backups.tries).toBeLessThan(10);
    backups.failing = false;
    await clock.advance(15 * MINUTE);
    const { tries } = backups;
    expect(backups.saved).toHaveLength(1);
    await change();
    await clock.advance(5 * HOUR);
    expect(backups.tries).toBe(tries);
  });

  test("storage that gives no answer is told, and no second backup begins", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    backups.hanging = promise;
    keep();
    await clock.advance(20 * HOUR);
    expect(backups.tries).toBe(1);
    expect(log.matching("the backups hang")).toHaveLength(1);
    resolve();
    await clock.advance(MINUTE);
    expect(backups.saved).toHaveLength(1);
    expect(epochMs(backups.saved[0]?.head.taken_at_ms ?? 0)).toBeLessThan(clock.now() - 19 * HOUR);
  });
});
