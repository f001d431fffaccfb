import type { Commands } from "#agent/api/ports.ts";
import { issueToken } from "#agent/bootstrap/issue-token.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import { joinProofs } from "#agent/credentials/join-proofs.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Registry, RegistryStatus, Submitted } from "#agent/ports/registry.ts";
import { IndexWaiters } from "#agent/registry/waiters.ts";
import { Watchers } from "#agent/registry/watch.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { Command, Envelope } from "#shared/registry/command.ts";
import { applyEntry, emptyState } from "#shared/registry/reduce.ts";
import type { Change, RegistryState } from "#shared/registry/state.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

const SELF = "12D3KooWLocal";

type Waiting = { readonly timeoutMs: number; readonly signal?: AbortSignal };

/** A timer may fire a fraction of a millisecond before its time by the monotonic clock. */
const TIMER_EARLY_MS = 2;

/**
 * The registry of a cluster of one, in memory: the real reducers, listeners and waiters over a log that commits at once.
 * Passes the same suite as the real one. What takes the real one time, such as finding out that a majority is lost, is
 * told at once; only `waitForIndex` waits, by the clock.
 */
export class LocalRegistry implements Registry {
  readonly state: RegistryState = emptyState();
  /** Set to false to play a cluster that has lost its majority. */
  quorum = true;
  readonly #clock: Clock;
  readonly #watchers = new Watchers({ log: new RecordingLog() });
  readonly #waiters: IndexWaiters;
  #seq = 0;
  #at = 1_700_000_000_000;

  constructor(deps: { readonly clock?: Clock } = {}) {
    this.#clock = deps.clock ?? new SystemClock();
    this.#waiters = new IndexWaiters({ clock: this.#clock });
  }

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
      quarantined: false,
    };
  }

  async submit(command: Command, options: Parameters<Registry["submit"]>[1]): Promise<Submitted> {
    options.signal?.throwIfAborted();
    this.#demandQuorum();
    this.#seq += 1;
    this.#at += 1;
    const seq = this.#seq;
    const key = options.key === undefined ? {} : { key: options.key };
    const expect = options.expect === undefined ? {} : { expect: options.expect };
    const envelope: Envelope = {
      v: options.expect === undefined ? 1 : 2,
      origin: SELF,
      session: 1,
      seq,
      ack: seq,
      ...key,
      ...expect,
      by: options.by,
      at: this.#at,
      command,
    };
    const data = JSON.stringify(envelope);
    const applied = applyEntry(this.state, { index: this.state.index + 1, term: 1, kind: "command", data });
    const { result } = applied;
    if (result === null) throw new Error(applied.halted ?? "no result");
    if (applied.changes.length > 0) this.#watchers.changed(applied.changes);
    this.#waiters.applied(this.state.index);
    if (!result.ok && result.refusal.kind === "idempotency_key_reused") throw AppError.of(result.refusal);
    return { index: applied.effectIndex, result };
  }

  async readBarrier(options: Partial<Waiting> = {}): Promise<number> {
    options.signal?.throwIfAborted();
    this.#demandQuorum();
    return this.state.index;
  }

  async waitForIndex(wanted: number, options: Waiting): Promise<number> {
    const over = new AbortController();
    const waiting = this.#waiters.wait(wanted, this.state.index, options);
    void this.#clock.sleep(options.timeoutMs + TIMER_EARLY_MS, over.signal).then(
      () => this.#waiters.expire(this.state.index),
      () => undefined,
    );
    return waiting.finally(() => over.abort());
  }

  onChange(listener: (changes: readonly Change[]) => void): Disposable {
    return this.#watchers.onChange(listener);
  }

  onReset(listener: (index: number) => void): Disposable {
    return this.#watchers.onReset(listener);
  }

  /** Puts another state in this one's place, as a snapshot does. The object stays the same, its content does not. */
  replace(state: RegistryState): void {
    Object.assign(this.state, state);
    this.#watchers.reset(state.index);
    this.#waiters.jumped(state.index);
  }

  async handOver(): Promise<void> {
    // There is nobody to hand over to.
  }

  #demandQuorum(): void {
    if (this.quorum) return;
    const { leader, missing } = this.status();
    throw new AppError("quorum_lost", { leader, missing });
  }
}

/** What a dialect may change, over any registry: a refusal is thrown. There is no bootstrap here. */
export function commandsOver(registry: Registry): Commands {
  const submit: Commands["submit"] = async (command, { by, key, expect }) => {
    const options = {
      by: by.name,
      ...(key === undefined ? {} : { key }),
      ...(expect === undefined ? {} : { expect }),
    };
    const { index, result } = await registry.submit(command, options);
    if (!result.ok) throw AppError.of(result.refusal);
    return { index, result };
  };
  const refused = (what: string, reason: string): Promise<never> =>
    Promise.reject(new AppError("change_refused", { what, reason }));
  return {
    submit,
    startBootstrap: () => Promise.reject(new AppError("already_in_cluster", {})),
    validateBootstrap: () => Promise.reject(new AppError("already_in_cluster", {})),
    createToken: (wish, { by }) =>
      issueToken({ registry, tokens: joinProofs().tokens, self: SELF }, wish, { by: by.name }),
    verifierOf: () => Promise.reject(new AppError("overloaded", { what: "password hashing" })),
    lead: (to) =>
      to === null || to === SELF
        ? Promise.resolve(SELF)
        : refused("hand leadership over", "it does not vote, and only a voter can lead"),
    leave: () => refused("leave the cluster", "this host is the last member of it"),
    removeMember: async (peer, context) => {
      await submit({ type: "member.remove", peer }, context);
    },
  };
}
