import type { HostFacts } from "#shared/model/hardware.ts";

/** Storage folders the host offers; paths are absolute. */
export interface StoragePaths {
  readonly persistent: string;
  readonly ephemeral: string;
  readonly bigstore: string | null;
}

/** What this host is. Never blocks the agent: a probe that hangs leaves its last good answer, marked stale. */
export interface Inventory {
  /** The newest facts; available once `start` of the implementation has resolved. */
  current(): HostFacts;
  /** Collects everything anew (static facts too) and answers with it. */
  refresh(): Promise<HostFacts>;
  /** Called after a collection that found something worth telling others, and every hour whatever it found. */
  onChange(listener: (facts: HostFacts) => void): Disposable;
  /** Bootstrap may choose other folders than the default ones. */
  setPaths(paths: StoragePaths): void;
  paths(): StoragePaths;
}
