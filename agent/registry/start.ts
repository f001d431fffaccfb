import { StoreDamaged, type HeldStores, type Stores } from "#agent/ports/store.ts";
import type { Entry, SnapshotMeta } from "#shared/consensus/messages.ts";
import type { CoreStart, HardState } from "#shared/consensus/ready.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { emptyState } from "#shared/registry/reduce.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import type { RegistryState } from "#shared/registry/state.ts";

const ADVICE =
  "stop this agent, move its data directory away and join it to the cluster again; the other members hold the registry";

/** What a member begins with: the core's part and the registry up to `core.applied`. */
export interface Beginning {
  readonly core: CoreStart;
  readonly state: RegistryState;
  /** Size of the snapshot it came from; 0 without one. */
  readonly snapshotBytes: number;
}

/**
 * The log of a new cluster: its first entry says who votes, so that whoever has the log knows it. It counts as committed in
 * term 1, which nobody was elected in.
 */
export function foundingEntry(self: MemberId): { readonly entry: Entry; readonly hardState: HardState } {
  const config = { voters: [self], outgoing: [], learners: [] };
  return {
    entry: { index: 1, term: 1, kind: "config", data: JSON.stringify(config) },
    hardState: { term: 1, vote: null, commit: 1 },
  };
}

/** The disk of the only voter of a recovered cluster: the state as a snapshot that everything else comes after. */
export function recoveredBeginning(
  self: MemberId,
  state: RegistryState,
): { readonly meta: SnapshotMeta; readonly body: Uint8Array; readonly hardState: HardState } {
  const { index, term } = state;
  return {
    meta: { index, term, config: { voters: [self], outgoing: [], learners: [] } },
    body: Buffer.from(encodeState(state)),
    hardState: { term, vote: null, commit: index },
  };
}

/**
 * Reads what the disk holds and checks that nothing is missing between snapshot, log and commit index. A log that a
 * snapshot has overtaken (a crash came between saving it and clearing the log) is the core's to drop. Rejects with StoreDamaged.
 *
 * `held` is the state that this process had applied before its stores were opened anew: what it showed to readers is
 * committed, and it goes on from there, so that nobody sees an older state than before.
 */
export async function loadBeginning(
  stores: Stores,
  held: Readonly<RegistryState> | null = null,
): Promise<Beginning> {
  const snapshot = await stores.snapshots.load();
  return beginningOf({ ...(await stores.log.load()), snapshot }, held);
}

/** The same of what was read before. Throws StoreDamaged. */
export function beginningOf(
  stored: Omit<HeldStores, "identity">,
  held: Readonly<RegistryState> | null = null,
): Beginning {
  const { snapshot, entries } = stored;
  const meta = snapshot?.meta ?? null;
  const at = meta?.index ?? 0;
  const keeps = held !== null && held.index >= at;
  const state = keeps ? held : snapshot === null ? emptyState() : decode(snapshot.body, snapshot.meta);
  const hardState = {
    ...stored.hardState,
    commit: Math.max(stored.hardState.commit, keeps ? held.index : 0),
  };
  const first = entries[0]?.index ?? at + 1;
  if (first > at + 1) {
    throw new StoreDamaged(`log entries ${at + 1} to ${first - 1} are missing`, ADVICE);
  }
  const last = Math.max(at, entries.at(-1)?.index ?? 0);
  if (hardState.commit > last) {
    throw new StoreDamaged(
      `log entries ${last + 1} to ${hardState.commit} were committed and are missing`,
      ADVICE,
    );
  }
  return {
    core: { hardState, snapshot: meta, entries, applied: state.index },
    state,
    snapshotBytes: snapshot?.body.length ?? 0,
  };
}

function decode(body: Uint8Array, meta: SnapshotMeta): RegistryState {
  let state: RegistryState;
  try {
    state = decodeState(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8"));
  } catch (error) {
    throw new StoreDamaged(
      `the snapshot at ${meta.index} cannot be read (${(error as Error).message})`,
      ADVICE,
    );
  }
  if (state.index !== meta.index || state.term !== meta.term) {
    throw new StoreDamaged(`the snapshot at ${meta.index} holds the state at ${state.index}`, ADVICE);
  }
  return state;
}
