import type { StoragePaths } from "#agent/ports/inventory.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import type { Entry, SnapshotMeta } from "#shared/consensus/messages.ts";
import type { HardState } from "#shared/consensus/ready.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/**
 * The log and the state that elections depend on. A promise that resolves means: on disk (fsync), or the call said `sync: false`.
 * A failed write rejects with WriteFailed and must stop consensus on this agent: what reached the disk is then unknown.
 */
export interface LogStore {
  /**
   * All that is retained. Rejects with StoreDamaged when a record in the middle is damaged, missing, or another one than was
   * written; a torn tail is cut and told in `cut`.
   */
  load(): Promise<{
    readonly hardState: HardState;
    readonly entries: readonly Entry[];
    readonly cut: number;
  }>;
  /** One atomic batch. `truncateFrom` removes that index and all after it, before `entries` are added. */
  append(batch: {
    readonly truncateFrom: number | null;
    readonly entries: readonly Entry[];
    readonly hardState: HardState | null;
    readonly sync: boolean;
  }): Promise<void>;
  /** Forgets entries up to and including this index. Need not be synced: repeating it is harmless. */
  compact(upTo: number): Promise<void>;
  /** Replaces the whole log by nothing, in one synced batch with the hard state: what installing a snapshot does. */
  reset(hardState: HardState): Promise<void>;
}

/** Snapshots of the registry. A snapshot is visible whole or not at all, whatever crashes in between. */
export interface SnapshotStore {
  /** The newest whole one, its body verified against its hash; null when there is none. */
  load(): Promise<{ readonly meta: SnapshotMeta; readonly body: Uint8Array } | null>;
  /** Durable when it resolves; then older ones but the last are removed. */
  save(meta: SnapshotMeta, body: Uint8Array): Promise<void>;
}

/** Which cluster this agent is a member of; written once the membership is certain. */
export interface ClusterIdentity {
  readonly clusterId: string;
  /** Grows with each recovery; messages of another incarnation are refused. Starts at 1. */
  readonly incarnation: number;
  /**
   * Drawn by each recovery, so that two that were made apart are never taken for one, though both have the same number. Absent in a
   * cluster that was never recovered.
   */
  readonly lineage?: string;
  /** This host's small number in the cluster. */
  readonly uid: number;
  /** Members known when this was written, so that the mesh can be dialled before the registry is loaded. */
  readonly contacts: readonly { readonly peer: MemberId; readonly meshAddrs: readonly string[] }[];
  /** Storage folders that bootstrap chose; absent: the configured ones. */
  readonly paths?: StoragePaths;
}

export interface IdentityStore {
  /** This host's own uuid (made on first start) and how many times the agent has started, this time included. */
  host(): Promise<{ readonly uuid: string; readonly starts: number }>;
  /** Whose store this is; null until it was told. */
  peer(): Promise<MemberId | null>;
  /**
   * Told on the first start: a store never changes hands. `inPlaceOf`: the same host's peer id before, which was removed from
   * its cluster for good. Durable when it resolves.
   */
  savePeer(peer: MemberId, inPlaceOf?: MemberId | null): Promise<void>;
  cluster(): Promise<ClusterIdentity | null>;
  saveCluster(identity: ClusterIdentity): Promise<void>;
}

export interface BootstrapStore {
  load(): Promise<BootstrapState>;
  /** Durable when it resolves. */
  save(state: BootstrapState): Promise<void>;
}

/** What a host holds of its cluster, all as of one moment. */
export interface HeldStores {
  readonly identity: ClusterIdentity;
  readonly hardState: HardState;
  /** Without a torn end, which nobody was promised. */
  readonly entries: readonly Entry[];
  readonly snapshot: { readonly meta: SnapshotMeta; readonly body: Uint8Array } | null;
}

export interface Stores {
  readonly log: LogStore;
  readonly snapshots: SnapshotStore;
  readonly identity: IdentityStore;
  readonly bootstrap: BootstrapStore;
  /**
   * Replaces log, snapshots, hard state and cluster identity by these, in one atomic synced batch: whatever crashes, the disk holds
   * the former cluster or this one, whole. Nothing else may write meanwhile. After WriteFailed nobody knows which of the two.
   */
  recover(recovered: {
    readonly identity: ClusterIdentity;
    readonly hardState: HardState;
    readonly meta: SnapshotMeta;
    readonly body: Uint8Array;
  }): Promise<void>;
  /** Reads beside whatever is written meanwhile, and changes nothing. Null without a cluster. Rejects with StoreDamaged. */
  held(): Promise<HeldStores | null>;
  /** Removes log, snapshots and cluster identity in one synced batch; the host's own uuid and bootstrap state stay. */
  forgetCluster(): Promise<void>;
}

/** The disk under the stores, for those who must not lead, write or trust without it. */
export interface StoreDisk {
  /** The folder of the database. */
  readonly path: string;
  /** Why no write is taken any more; null while all is well. Only `reopen` ends it. */
  readonly failure: WriteFailed | null;
  /** What the file system has, and what of it is free for this user. Cheap: it asks the kernel, not the disk. */
  space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
  /** Overwrites a few bytes beside the database and resolves once they are on the disk. Rejects with WriteFailed. One at a time. */
  probe(): Promise<void>;
  /**
   * Reads back the next piece of what lies at rest, little enough for one call in some seconds; resolves with the damage that it
   * found, or null. One at a time. What can be found this way and what cannot: agent/store/scrub.ts.
   */
  scrub(): Promise<StoreDamaged | null>;
  /**
   * After a failed write: proves by a fresh synced file that the disk takes writes again, then closes the stores and opens them
   * anew; whoever works with them must have stopped. Rejects with WriteFailed (not yet; ask again later), StoreDamaged, or AppError path_error.
   */
  reopen(): Promise<void>;
}

/**
 * A write failed. What reached the disk is unknown from here on, so every later write of these stores rejects with the same
 * error until they are opened anew.
 */
export class WriteFailed extends Error {
  override readonly name = "WriteFailed";
  /** True when the disk had no room, or no more for this user (ENOSPC, EDQUOT). */
  readonly full: boolean;

  constructor(cause: unknown, options: { readonly full: boolean }) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.full = options.full;
  }
}

/** The disk holds something that cannot be what was written. `advice` says what an operator should do. */
export class StoreDamaged extends Error {
  override readonly name = "StoreDamaged";
  readonly advice: string;

  constructor(what: string, advice: string) {
    super(`${what}; ${advice}`);
    this.advice = advice;
  }
}
