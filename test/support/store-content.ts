import type { ClusterIdentity, HeldStores, LogStore, Stores } from "#agent/ports/store.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import type { Entry, SnapshotMeta } from "#shared/consensus/messages.ts";
import type { HardState } from "#shared/consensus/ready.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** What a disk of the tests holds. */
export interface Content {
  hardState: HardState;
  entries: Entry[];
  snapshot: { readonly meta: SnapshotMeta; readonly body: Uint8Array } | null;
  host: { readonly uuid: string; readonly starts: number } | null;
  peer: MemberId | null;
  cluster: ClusterIdentity | null;
  bootstrap: BootstrapState;
}

/** One atomic batch. */
export type Change = (content: Content) => void;

/** How a change reaches the disk; resolves when it is there, durable if `sync`. */
export type Write = (sync: boolean, change: Change) => Promise<void>;

export function emptyContent(): Content {
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

/** The same content, which further changes of the first one leave as it is. */
export function copyOf(content: Content): Content {
  return { ...content, entries: [...content.entries] };
}

/** The writes of agent/ports/store.ts as batches, for whatever disk carries them out. */
export function writers(write: Write): {
  readonly log: Omit<LogStore, "load">;
  readonly save: (meta: SnapshotMeta, body: Uint8Array) => Promise<void>;
  readonly recover: Stores["recover"];
  readonly forgetCluster: Stores["forgetCluster"];
} {
  return {
    log: {
      append: ({ truncateFrom, entries, hardState, sync }) =>
        write(sync, (content) => {
          if (truncateFrom !== null) {
            content.entries = content.entries.filter(({ index }) => index < truncateFrom);
          }
          const last = content.entries.at(-1)?.index;
          const next = entries[0]?.index;
          if (last !== undefined && next !== undefined && next !== last + 1) {
            throw new Error(`broken: the log on disk ends at ${last}, and ${next} was to be written`);
          }
          content.entries.push(...entries);
          if (hardState !== null) content.hardState = hardState;
        }),
      compact: (upTo) =>
        write(false, (content) => {
          content.entries = content.entries.filter(({ index }) => index > upTo);
        }),
      reset: (hardState) =>
        write(true, (content) => {
          content.entries = [];
          content.hardState = hardState;
        }),
    },
    save: (meta, body) => {
      const snapshot = { meta, body: new Uint8Array(body) };
      return write(true, (content) => void (content.snapshot = snapshot));
    },
    async recover({ identity, hardState, meta, body }) {
      const snapshot = { meta, body: new Uint8Array(body) };
      await write(true, () => undefined); // The snapshot's parts, which nobody sees yet.
      await write(true, (content) => {
        Object.assign(content, { hardState, entries: [], snapshot, cluster: identity });
      });
    },
    forgetCluster: () =>
      write(true, (content) => {
        const { hardState, entries, snapshot, cluster } = emptyContent();
        Object.assign(content, { hardState, entries, snapshot, cluster });
      }),
  };
}

export function heldIn({ cluster, hardState, entries, snapshot }: Content): HeldStores | null {
  return cluster === null ? null : { identity: cluster, hardState, entries: [...entries], snapshot };
}
