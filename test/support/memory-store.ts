import type { ClusterIdentity, Stores } from "#agent/ports/store.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import type { Entry, SnapshotMeta } from "#shared/consensus/messages.ts";
import type { HardState } from "#shared/consensus/ready.ts";
import type { MemberId } from "#shared/lib/ids.ts";

interface Content {
  hardState: HardState;
  entries: Entry[];
  snapshot: { meta: SnapshotMeta; body: Uint8Array } | null;
  host: { uuid: string; starts: number } | null;
  peer: MemberId | null;
  cluster: ClusterIdentity | null;
  bootstrap: BootstrapState;
}

/**
 * A disk that outlives the stores opened on it. `durable` is what a power cut leaves; an unsynced write shows at once but
 * is lost by `cutPower()`, until a later synced write takes it along.
 */
export class MemoryDisk {
  seen: Content = empty();
  durable: Content = empty();
  /** When set, every write rejects with it and changes nothing. */
  broken: Error | null = null;
  /** Awaited before each write: a slow disk, or a test that wants to look in between. */
  beforeWrite: () => Promise<void> = () => Promise.resolve();
  /** Synced batches of the log so far, to count group commits. */
  syncs = 0;

  cutPower(): void {
    this.seen = { ...this.durable, entries: [...this.durable.entries] };
  }

  /** Applies the change, or rejects; when it resolves after `sync`, everything so far is durable. */
  async write(sync: boolean, change: (content: Content) => void): Promise<void> {
    await this.beforeWrite();
    if (this.broken !== null) throw this.broken;
    change(this.seen);
    if (!sync) return;
    this.durable = { ...this.seen, entries: [...this.seen.entries] };
  }
}

/** The ports of agent/ports/store.ts on a MemoryDisk; passes the same suite as the real one. */
export function openMemoryStores(disk: MemoryDisk): Stores & AsyncDisposable {
  let host: Promise<{ uuid: string; starts: number }> | null = null;
  const countStart = async (): Promise<{ uuid: string; starts: number }> => {
    const uuid = disk.seen.host?.uuid ?? crypto.randomUUID();
    const now = { uuid, starts: (disk.seen.host?.starts ?? 0) + 1 };
    await disk.write(true, (content) => {
      content.host = now;
    });
    return now;
  };
  return {
    log: {
      load: () =>
        Promise.resolve({ hardState: disk.seen.hardState, entries: [...disk.seen.entries], cut: 0 }),
      append: async ({ truncateFrom, entries, hardState, sync }) => {
        if (sync) disk.syncs += 1;
        await disk.write(sync, (content) => {
          if (truncateFrom !== null) {
            content.entries = content.entries.filter(({ index }) => index < truncateFrom);
          }
          const last = content.entries.at(-1)?.index;
          const next = entries[0]?.index;
          if (last !== undefined && next !== undefined && next !== last + 1) {
            throw new Error(`entry ${next} does not follow ${last}`);
          }
          content.entries.push(...entries);
          if (hardState !== null) content.hardState = hardState;
        });
      },
      compact: (upTo) =>
        disk.write(false, (content) => {
          content.entries = content.entries.filter(({ index }) => index > upTo);
        }),
      reset: (hardState) =>
        disk.write(true, (content) => {
          content.entries = [];
          content.hardState = hardState;
        }),
    },
    snapshots: {
      load: () => Promise.resolve(disk.seen.snapshot),
      save: (meta, body) =>
        disk.write(true, (content) => {
          content.snapshot = { meta, body: new Uint8Array(body) };
        }),
    },
    identity: {
      host: () => {
        host ??= countStart();
        return host;
      },
      peer: () => Promise.resolve(disk.seen.peer),
      savePeer: (peer) =>
        disk.write(true, (content) => {
          content.peer = peer;
        }),
      cluster: () => Promise.resolve(disk.seen.cluster),
      saveCluster: (identity) =>
        disk.write(true, (content) => {
          content.cluster = identity;
        }),
    },
    bootstrap: {
      load: () => Promise.resolve(disk.seen.bootstrap),
      save: (state) =>
        disk.write(true, (content) => {
          content.bootstrap = state;
        }),
    },
    forgetCluster: () =>
      disk.write(true, (content) => {
        const { hardState, entries, snapshot, cluster } = empty();
        Object.assign(content, { hardState, entries, snapshot, cluster });
      }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function empty(): Content {
  return {
    hardState: { term: 0, vote: null, commit: 0 },
    entries: [],
    snapshot: null,
    host: null,
    peer: null,
    cluster: null,
    bootstrap: { name: "idle" },
  };
}
