import type { Entry, SnapshotMeta } from "#shared/consensus/messages.ts";
import type { CoreStart, HardState } from "#shared/consensus/ready.ts";
import type { Prng } from "#shared/lib/prng.ts";

/** The applied state: how far it goes, and a hash chained over everything applied. */
export interface Machine {
  readonly index: number;
  readonly chain: number;
}

interface Stored {
  hardState: HardState;
  entries: Entry[];
  snapshot: { readonly meta: SnapshotMeta; readonly machine: Machine } | null;
}

/** One atomic write. */
export type Write = (stored: Stored) => void;

/**
 * A disk that forgets: writes take effect in order, a synced write makes itself and all before it durable, and a crash keeps
 * some prefix of the rest. A single write is atomic, as one batch of the log store is.
 */
export class SimDisk {
  #stored: Stored;
  #unsynced: Write[] = [];

  constructor(stored: Stored) {
    this.#stored = stored;
  }

  /** What would survive a crash for certain. */
  get durable(): Readonly<Stored> {
    return this.#stored;
  }

  write(write: Write, sync: boolean): void {
    this.#unsynced.push(write);
    if (sync) this.#flush(this.#unsynced.length);
  }

  /** Loses what was not synced, but for a prefix that happened to be written out. */
  crash(prng: Prng): void {
    this.#flush(prng.below(this.#unsynced.length + 1));
  }

  #flush(count: number): void {
    for (const write of this.#unsynced.splice(0, count)) write(this.#stored);
    this.#unsynced = [];
  }

  /** What a restarted process reads. */
  load(): CoreStart & { readonly machine: Machine } {
    const { hardState, entries, snapshot } = this.#stored;
    const machine = snapshot?.machine ?? { index: 0, chain: 0 };
    return {
      hardState,
      entries: [...entries],
      snapshot: snapshot?.meta ?? null,
      applied: machine.index,
      machine,
    };
  }
}

export function appendWrite(batch: {
  readonly truncateFrom: number | null;
  readonly entries: readonly Entry[];
  readonly hardState: HardState | null;
}): Write {
  return (stored) => {
    const { truncateFrom, entries, hardState } = batch;
    if (truncateFrom !== null) stored.entries = stored.entries.filter(({ index }) => index < truncateFrom);
    const last = stored.entries.at(-1)?.index ?? null;
    const first = entries[0]?.index ?? null;
    if (last !== null && first !== null && first !== last + 1) {
      throw new Error(`the log on disk ends at ${last}, and ${first} was to be written`);
    }
    stored.entries.push(...entries);
    if (hardState !== null) stored.hardState = hardState;
  };
}

export function snapshotWrite(meta: SnapshotMeta, machine: Machine): Write {
  return (stored) => {
    if ((stored.snapshot?.meta.index ?? 0) < meta.index) stored.snapshot = { meta, machine };
  };
}

export function resetWrite(hardState: HardState): Write {
  return (stored) => {
    stored.entries = [];
    stored.hardState = hardState;
  };
}

export function compactWrite(upTo: number): Write {
  return (stored) => {
    stored.entries = stored.entries.filter(({ index }) => index > upTo);
  };
}
