import type { StateMachine } from "./apply.ts";
import type { Freshness } from "./freshness.ts";
import type { ConsensusLoop } from "./loop.ts";
import type { Snapshotter } from "./snapshotter.ts";
import { fetchSnapshot, unsound, type Packing } from "./transfer.ts";
import { METHOD, admit, check, toWire } from "./wire.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Stores } from "#agent/ports/store.ts";
import type { Transport } from "#agent/ports/transport.ts";
import { decodeConfig } from "#shared/consensus/config-change.ts";
import type { SnapshotMeta, VoterConfig } from "#shared/consensus/messages.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { applyEntry, emptyState } from "#shared/registry/reduce.ts";
import { encodeState } from "#shared/registry/snapshot.ts";
import type { RegistryState } from "#shared/registry/state.ts";

const PULL_MS = 5000;
/** Pause before a peer that lacks the newest entries is asked again. */
const PAUSE_MS = 100;
/** Longest that a whole copy may take to be made. */
const COPY_MS = 120_000;

interface Deps {
  readonly transport: Pick<Transport, "request">;
  readonly stores: Pick<Stores, "snapshots">;
  readonly clock: Clock;
  readonly log: Log;
  readonly loop: Pick<ConsensusLoop, "do" | "status" | "ended">;
  readonly machine: StateMachine;
  readonly snapshotter: Snapshotter;
  readonly freshness: Freshness;
  readonly packing?: Packing | undefined;
}

interface Copy {
  readonly state: RegistryState;
  readonly config: VoterConfig;
}

/**
 * Makes the registry anew beside the damaged one, from another member's snapshot and committed entries, and puts it in its
 * place. Nothing of this agent's own copy goes into it. The log and what was promised in elections stay as they are.
 */
export class Replacement {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Resolves when the new copy is in place, here and on the disk. Rejects when the peer cannot give it. */
  async from(peer: MemberId, signal: AbortSignal): Promise<void> {
    const { snapshotter, stores, log } = this.#deps;
    const copy = await this.#copy(peer, signal);
    const { index, term } = copy.state;
    const meta: SnapshotMeta = { index, term, config: copy.config };
    const body = Buffer.from(encodeState(copy.state));
    // A restart must begin from this copy, not from what made the damaged one.
    await snapshotter.idle();
    await stores.snapshots.save(meta, body);
    await this.#swap(copy.state);
    snapshotter.installed(body.length);
    log.warn({ peer, index }, "this agent's registry was replaced by a copy of another member's");
  }

  async #copy(peer: MemberId, signal: AbortSignal): Promise<Copy> {
    const { transport, clock, loop, packing } = this.#deps;
    const endMs = clock.monotonicMs() + COPY_MS;
    let state = emptyState();
    let config: VoterConfig = { voters: [], outgoing: [], learners: [] };
    while (clock.monotonicMs() < endMs) {
      const body = await transport.request(
        peer,
        "bulk",
        METHOD.pull,
        toWire({ from: state.index + 1, waitMs: 0 }),
        { timeoutMs: PULL_MS, signal },
      );
      const answer = admit(check.pullAnswer, body, METHOD.pull);
      if (answer.snapshot) {
        const fetched = await fetchSnapshot(transport, peer, signal, packing);
        if (fetched.meta.index <= state.index) throw unsound(peer, "an old snapshot");
        state = fetched.state;
        config = fetched.meta.config;
        continue;
      }
      for (const entry of answer.entries) {
        if (applyEntry(state, entry).halted !== null) throw unsound(peer, "an entry of a newer version");
        if (entry.kind !== "config") continue;
        const decoded = decodeConfig(entry.data);
        if (decoded === null) throw unsound(peer, "a configuration of an unknown shape");
        config = decoded;
      }
      if (state.index >= loop.status.applied) return { state, config };
      if (answer.entries.length === 0) await clock.sleep(PAUSE_MS, signal);
    }
    throw new AppError("peer_timeout", { peer });
  }

  /** Entries that were passed over meanwhile are in the copy or still to come; one that is neither makes it too old. */
  async #swap(state: RegistryState): Promise<void> {
    const { loop, machine, freshness } = this.#deps;
    const swapped = Promise.withResolvers<void>();
    if (loop.ended) swapped.reject(new Error("consensus has stopped on this agent"));
    loop.do((core) => {
      if (core.status().applied > state.index) {
        swapped.reject(new Error("more was committed meanwhile"));
        return;
      }
      machine.replace(state);
      freshness.appliedTo(state.index);
      swapped.resolve();
    });
    await swapped.promise;
  }
}
