import type { StatePoint } from "./wire.ts";
import type { IndexWaiters } from "./waiters.ts";
import type { Watchers } from "./watch.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Entry } from "#shared/consensus/messages.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { stateHash } from "#shared/registry/fingerprint.ts";
import { applyEntry, emptyState } from "#shared/registry/reduce.ts";
import type { Applied } from "#shared/registry/reduce.ts";
import type { CommandResult, RegistryState } from "#shared/registry/state.ts";

/** Called for each answer to a command of this agent's own session. */
export type OnAnswer = (seq: number, index: number, result: CommandResult) => void;

/** The registry itself: committed entries go in, in order; changes and answers come out. */
export class StateMachine {
  readonly #log: Log;
  readonly #watchers: Watchers;
  readonly #waiters: IndexWaiters;
  readonly #self: MemberId;
  readonly #session: number;
  readonly #onAnswer: OnAnswer;
  readonly #onApplied: (entry: Entry) => void;
  #state: RegistryState = emptyState();
  #halted: string | null = null;
  #quarantine: string | null = null;
  /** Index → hash of the state there: at every POINT_EVERY-th entry, oldest first. */
  readonly #points = new Map<number, string>();

  constructor(
    deps: {
      readonly log: Log;
      readonly watchers: Watchers;
      readonly waiters: IndexWaiters;
      readonly onAnswer: OnAnswer;
      readonly onApplied: (entry: Entry) => void;
    },
    options: { readonly self: MemberId; readonly session: number },
  ) {
    this.#log = deps.log;
    this.#watchers = deps.watchers;
    this.#waiters = deps.waiters;
    this.#onAnswer = deps.onAnswer;
    this.#onApplied = deps.onApplied;
    this.#self = options.self;
    this.#session = options.session;
  }

  get state(): Readonly<RegistryState> {
    return this.#state;
  }

  /** Index of the last applied entry. */
  get index(): number {
    return this.#state.index;
  }

  /** Why nothing is applied any more; null while all is well. */
  get halted(): string | null {
    return this.#halted ?? this.#quarantine;
  }

  /** The state is not what the others hold: nothing is applied, and nothing of it may be served, until it is replaced. */
  get quarantined(): boolean {
    return this.#quarantine !== null;
  }

  /** Hash of the state as it was at this index; null when that is not known any more, or not yet. */
  hashAt(index: number): string | null {
    return index === this.#state.index ? stateHash(this.#state) : (this.#points.get(index) ?? null);
  }

  /** The newest points in time at which the state's hash is known, newest first. */
  points(count: number): StatePoint[] {
    const known = [...this.#points].slice(-(count - 1)).map(([index, hash]) => ({ index, hash }));
    const now = { index: this.#state.index, hash: stateHash(this.#state) };
    return [...known.filter(({ index }) => index !== now.index), now].toReversed();
  }

  /** Applies the next entry; does nothing once halted. A defect in a reducer halts too: going on would make agents differ. */
  apply(entry: Entry): void {
    // A copy that took the state's place may hold what consensus has yet to hand out here.
    if (this.halted !== null || entry.index <= this.#state.index) return;
    let applied: Applied;
    try {
      applied = applyEntry(this.#state, entry);
    } catch (error) {
      this.#log.error({ index: entry.index, err: error }, "applying an entry failed");
      this.halt(`entry ${entry.index} could not be applied (a defect); see this agent's log`);
      return;
    }
    if (applied.halted !== null) {
      this.halt(applied.halted);
      return;
    }
    this.#notePoint();
    if (applied.changes.length > 0) this.#watchers.changed(applied.changes);
    const { envelope, result } = applied;
    if (envelope?.origin === this.#self && envelope.session === this.#session && result !== null) {
      this.#onAnswer(envelope.seq, applied.effectIndex, result);
    }
    this.#waiters.applied(entry.index);
    this.#onApplied(entry);
  }

  quarantine(reason: string): void {
    if (this.halted !== null) return;
    this.#quarantine = reason;
    this.#log.error({ index: this.index, reason }, "the registry on this agent is in quarantine");
  }

  halt(reason: string): void {
    if (this.#halted !== null) return;
    this.#halted = reason;
    this.#log.error({ index: this.index, reason }, "the registry stands still on this agent");
  }

  /** A state from the disk at start: nobody has seen an earlier one. */
  start(state: RegistryState): void {
    this.#state = state;
  }

  /** A snapshot takes the place of the state and ends a quarantine; answers it contains go to their callers. */
  replace(state: RegistryState): void {
    this.#state = state;
    this.#quarantine = null;
    this.#points.clear();
    this.#watchers.reset(state.index);
    const own = state.sessions.get(this.#self);
    if (own?.session === this.#session) {
      for (const [seq, { index, result }] of own.results) this.#onAnswer(seq, index, result);
    }
    this.#waiters.jumped(state.index);
  }

  #notePoint(): void {
    const { index } = this.#state;
    if (index % POINT_EVERY !== 0) return;
    this.#points.set(index, stateHash(this.#state));
    if (this.#points.size <= POINTS_KEPT) return;
    for (const oldest of this.#points.keys()) {
      this.#points.delete(oldest);
      return;
    }
  }
}

/** Entries between two points: agents that are a little apart have some in common. */
const POINT_EVERY = 64;
const POINTS_KEPT = 64;
