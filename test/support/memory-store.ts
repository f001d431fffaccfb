import { copyOf, emptyContent, heldIn, writers, type Content } from "./store-content.ts";
import { WriteFailed, type StoreDamaged, type StoreDisk, type Stores } from "#agent/ports/store.ts";

/**
 * A disk that outlives the stores opened on it. `durable` is what a power cut leaves; an unsynced write shows at once but
 * is lost by `cutPower()`, until a later synced write takes it along.
 */
export class MemoryDisk {
  seen: Content = emptyContent();
  durable: Content = emptyContent();
  /** When set, every write rejects with it and changes nothing. */
  broken: Error | null = null;
  /** Awaited before each write: a slow disk, or a test that wants to look in between. */
  beforeWrite: () => Promise<void> = () => Promise.resolve();
  /** What a file system would say of itself, in bytes. */
  space = { freeBytes: 1e9, totalBytes: 2e9 };
  /** What the next scrub finds. */
  damage: StoreDamaged | null = null;
  /** Synced batches of the log so far, to count group commits. */
  syncs = 0;

  cutPower(): void {
    this.seen = copyOf(this.durable);
  }

  /** Applies the change, or rejects; when it resolves after `sync`, everything so far is durable. */
  async write(sync: boolean, change: (content: Content) => void): Promise<void> {
    await this.beforeWrite();
    if (this.broken !== null) throw this.broken;
    change(this.seen);
    if (!sync) return;
    this.durable = copyOf(this.seen);
  }
}

/** The ports of agent/ports/store.ts on a MemoryDisk; passes the same suite as the real one. */
export function openMemoryStores(disk: MemoryDisk): Stores & { disk: StoreDisk } & AsyncDisposable {
  let failure: WriteFailed | null = null;
  /** As the real stores: after one failed write there is no other. */
  const write = async (sync: boolean, change: (content: Content) => void): Promise<void> => {
    if (failure !== null) throw failure;
    try {
      await disk.write(sync, change);
    } catch (error) {
      failure ??= writeFailed(error);
      throw failure;
    }
  };
  let host: Promise<{ uuid: string; starts: number }> | null = null;
  const countStart = async (): Promise<{ uuid: string; starts: number }> => {
    const uuid = disk.seen.host?.uuid ?? crypto.randomUUID();
    const now = { uuid, starts: (disk.seen.host?.starts ?? 0) + 1 };
    await write(true, (content) => {
      content.host = now;
    });
    return now;
  };
  const { log, save, recover, forgetCluster } = writers(write);
  return {
    log: {
      ...log,
      load: () =>
        Promise.resolve({ hardState: disk.seen.hardState, entries: [...disk.seen.entries], cut: 0 }),
      append: (batch) => {
        if (batch.sync) disk.syncs += 1;
        return log.append(batch);
      },
    },
    snapshots: { load: () => Promise.resolve(disk.seen.snapshot), save },
    identity: {
      host: () => {
        host ??= countStart();
        return host;
      },
      peer: () => Promise.resolve(disk.seen.peer),
      savePeer: (peer) =>
        write(true, (content) => {
          content.peer = peer;
        }),
      cluster: () => Promise.resolve(disk.seen.cluster),
      saveCluster: (identity) =>
        write(true, (content) => {
          content.cluster = identity;
        }),
    },
    bootstrap: {
      load: () => Promise.resolve(disk.seen.bootstrap),
      save: (state) =>
        write(true, (content) => {
          content.bootstrap = state;
        }),
    },
    disk: {
      path: "/memory",
      get failure() {
        return failure;
      },
      space: () => Promise.resolve(disk.space),
      probe: () =>
        disk
          .write(false, () => undefined)
          .catch((error: unknown) => {
            throw writeFailed(error);
          }),
      scrub: () => Promise.resolve(disk.damage),
      reopen: async () => {
        await disk
          .write(true, () => undefined)
          .catch((error: unknown) => {
            throw writeFailed(error);
          });
        failure = null;
      },
    },
    recover,
    held: () => Promise.resolve(heldIn(disk.seen)),
    forgetCluster,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function writeFailed(error: unknown): WriteFailed {
  if (error instanceof WriteFailed) return error;
  return new WriteFailed(error, { full: error instanceof Error && error.message.includes("No space left") });
}
