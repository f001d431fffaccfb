import type { BackupFile, Backups } from "#agent/ports/backup.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Registry } from "#agent/ports/registry.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { BackupHead } from "#shared/contract/backup.ts";

/** How often is looked whether a backup is due. Milliseconds. */
const LOOK_MS = 10_000;
/** The first one is not made at once: a member that has just come has other things to do. Milliseconds. */
const SETTLE_MS = 20_000;
/** By so much at most a backup is put off, so that the agents of a cluster do not all write at once. Milliseconds. */
const SPREAD_MS = 300_000;
/** After a failure. Milliseconds. */
const AGAIN_MS = 600_000;
/** After this long the storage is said to give no answer. Milliseconds. */
const HANG_MS = 300_000;

interface Deps {
  readonly backups: Pick<Backups, "save"> & {
    newest(clusterId: string): Promise<BackupFile | null>;
  };
  readonly registry: Pick<Registry, "state" | "status">;
  /** Which cluster this host is a member of; null while it is none. */
  readonly identity: () => ClusterIdentity | null;
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

/** The cluster whose backups are kept, and when the next one is due by the monotonic clock. */
interface Watched extends Pick<ClusterIdentity, "clusterId" | "incarnation"> {
  readonly dueMs: number;
  readonly last: BackupHead | null;
}

/**
 * Makes a backup of this agent's copy every so often, on every member, for the day on which no store is left. One that would hold
 * nothing new is not made; one of a copy that must not be served, or that stands still, would be worth nothing.
 */
export class BackupKeeper implements Disposable {
  readonly #deps: Deps;
  readonly #intervalMs: number;
  #watched: Watched | null = null;
  #busy = false;
  #looking: Disposable | null = null;

  /** `intervalMs` 0: never. */
  constructor(deps: Deps, options: { readonly intervalMs: number }) {
    this.#deps = deps;
    this.#intervalMs = options.intervalMs;
  }

  start(): void {
    if (this.#intervalMs > 0) this.#looking = this.#deps.clock.every(LOOK_MS, () => void this.#look());
  }

  [Symbol.dispose](): void {
    this.#looking?.[Symbol.dispose]();
  }

  /** Never rejects. One that hangs on its disk keeps the next one from beginning. */
  async #look(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await this.#keep();
    } catch (error) {
      this.#deps.log.warn({ err: error }, "the backup failed");
      this.#put(AGAIN_MS);
    } finally {
      this.#busy = false;
    }
  }

  async #keep(): Promise<void> {
    const { clock, registry, backups, log } = this.#deps;
    const identity = this.#deps.identity();
    if (identity === null || registry.state.cluster === null) {
      this.#watched = null;
      return;
    }
    const watched = this.#watched;
    if (watched?.clusterId !== identity.clusterId || watched.incarnation !== identity.incarnation) {
      await this.#begin(identity);
      return;
    }
    const { dueMs, last } = watched;
    if (clock.monotonicMs() < dueMs) return;
    const { halted, quarantined } = registry.status();
    if (halted !== null || quarantined) return;
    if (last !== null && last.index === registry.state.index) {
      this.#put(this.#intervalMs);
      return;
    }
    const { path, head } = await this.#complaining(backups.save(registry.state, identity));
    log.info({ path, index: head.index, bytes: head.bytes }, "made a backup");
    this.#watched = { ...watched, last: head };
    this.#put(this.#intervalMs);
  }

  /** A cluster that is new here, or was recovered: the next one is due when the newest one of a former life is old enough. */
  async #begin({ clusterId, incarnation }: ClusterIdentity): Promise<void> {
    const newest = (await this.#complaining(this.#deps.backups.newest(clusterId)))?.head ?? null;
    const last = newest?.incarnation === incarnation ? newest : null;
    this.#watched = { clusterId, incarnation, dueMs: 0, last };
    const age = last === null ? this.#intervalMs : this.#deps.clock.now() - last.taken_at_ms;
    // A stamp of the future says nothing.
    this.#put(age < 0 ? SETTLE_MS : Math.max(SETTLE_MS, this.#intervalMs - age));
  }

  async #complaining<T>(work: Promise<T>): Promise<T> {
    const { clock, log } = this.#deps;
    const over = new AbortController();
    clock.sleep(HANG_MS, over.signal).then(
      () => log.error({ waited_ms: HANG_MS }, "the backups hang; the persistent storage gives no answer"),
      () => undefined, // Done in time.
    );
    try {
      return await work;
    } finally {
      over.abort();
    }
  }

  #put(afterMs: number): void {
    if (this.#watched === null) return;
    const { clock, random } = this.#deps;
    const spreadMs = random() * Math.min(SPREAD_MS, afterMs / 2);
    this.#watched = { ...this.#watched, dueMs: clock.monotonicMs() + afterMs + spreadMs };
  }
}
