import type { Commands } from "#agent/api/ports.ts";
import type { Registry, RegistryStatus, Submitted } from "#agent/ports/registry.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { Command, Envelope } from "#shared/registry/command.ts";
import { applyEntry, emptyState } from "#shared/registry/reduce.ts";
import type { Change, RegistryState } from "#shared/registry/state.ts";

const SELF = "12D3KooWLocal";

/** The registry of a cluster of one, in memory: the real reducers over a log that commits at once. */
export class LocalRegistry implements Registry {
  readonly state: RegistryState = emptyState();
  /** Set to false to play a cluster that has lost its majority. */
  quorum = true;
  readonly #listeners = new Set<(changes: readonly Change[]) => void>();
  #seq = 0;
  #at = 1_700_000_000_000;

  status(): RegistryStatus {
    const { index, term } = this.state;
    return {
      role: this.quorum ? "leader" : "follower",
      term,
      leader: this.quorum ? SELF : null,
      applied: index,
      commit: index,
      config: { voters: [SELF], outgoing: [], learners: [] },
      ageMs: this.quorum ? 0 : null,
      quorum: this.quorum,
      missing: this.quorum ? [] : ["12D3KooWMissing"],
      halted: null,
    };
  }

  async submit(
    command: Command,
    options: { readonly by: string; readonly key?: string },
  ): Promise<Submitted> {
    if (!this.quorum) throw new AppError("quorum_lost", { leader: null, missing: this.status().missing });
    this.#seq += 1;
    this.#at += 1;
    const seq = this.#seq;
    const key = options.key === undefined ? {} : { key: options.key };
    const envelope: Envelope = {
      v: 1,
      origin: SELF,
      session: 1,
      seq,
      ack: seq,
      ...key,
      by: options.by,
      at: this.#at,
      command,
    };
    const data = JSON.stringify(envelope);
    const applied = applyEntry(this.state, { index: this.state.index + 1, term: 1, kind: "command", data });
    if (applied.result === null) throw new Error(applied.halted ?? "no result");
    if (applied.changes.length > 0) for (const listener of this.#listeners) listener(applied.changes);
    return { index: applied.effectIndex, result: applied.result };
  }

  async readBarrier(): Promise<number> {
    if (!this.quorum) throw new AppError("quorum_lost", { leader: null, missing: this.status().missing });
    return this.state.index;
  }

  async waitForIndex(wanted: number): Promise<number> {
    const { index } = this.state;
    if (index < wanted) throw new AppError("index_not_reached", { index, wanted });
    return index;
  }

  onChange(listener: (changes: readonly Change[]) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Never: nothing here is replaced by a snapshot. */
  onReset(): Disposable {
    return { [Symbol.dispose]: () => undefined };
  }

  async handOver(): Promise<void> {
    // There is nobody to hand over to.
  }
}

/** What a dialect may change, over any registry: a refusal is thrown. There is no bootstrap here. */
export function commandsOver(registry: Registry): Commands {
  return {
    async submit(command, { by, key }) {
      const options = key === undefined ? { by: by.name } : { by: by.name, key };
      const { index, result } = await registry.submit(command, options);
      if (!result.ok) throw AppError.of(result.refusal);
      return { index, result };
    },
    startBootstrap: () => Promise.reject(new AppError("already_in_cluster", {})),
  };
}
