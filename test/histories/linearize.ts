/**
 * Is there an order of these operations, one after the other, that explains every answer and respects real time? (Herlihy and
 * Wing, "Linearizability", 1990.) The search is Wing and Gong's with Lowe's improvements ("Testing for linearizability", 2017):
 * an operation is put into the order only when an answer needs it (just in time), and no configuration is searched twice.
 */

/** One call of a client, as it saw it. Times are milliseconds of one clock. */
export interface Operation<Input, Output> {
  /** Who called whom: for people. */
  readonly who: string;
  readonly input: Input;
  readonly invokedMs: number;
  /** Null when the outcome is unknown: it may take effect at any later time, or never. What certainly had no effect is left out. */
  readonly completed: { readonly atMs: number; readonly output: Output } | null;
}

/** What the service promises, as if it served one call at a time. States are values, never null: a step makes a new one. */
export interface Model<State, Input, Output> {
  readonly init: State;
  /** The state after the operation; null when this output is impossible here. The output is undefined when nobody knows it. */
  step(state: State, input: Input, output: Output | undefined): NonNullable<State> | null;
  /** Whether an operation with this answer changes no state whatever. */
  isRead(input: Input, output: Output): boolean;
  /** Equal for equal states only. */
  key(state: State): string;
  /** Equal for operations with the same effect in every state; without it, those with the same input. */
  effect?(input: Input): string;
  /** The operation in words. */
  describe(input: Input, output: Output | undefined): string;
}

/** Why a history is not linearizable. */
export interface Counterexample<State, Input, Output> {
  /** An order for everything that was answered before the stuck operation's answer: there is none for more. */
  readonly prefix: readonly Operation<Input, Output>[];
  /** What that order ends in. */
  readonly state: State;
  /** Its answer fits nowhere. */
  readonly stuck: Operation<Input, Output>;
  /** Under way at that time and not part of the prefix. */
  readonly concurrent: readonly Operation<Input, Output>[];
}

type Verdict<State, Input, Output> =
  | { readonly kind: "linearizable"; readonly order: readonly Operation<Input, Output>[] }
  | { readonly kind: "not_linearizable"; readonly counterexample: Counterexample<State, Input, Output> }
  /** The search cost more than allowed. Neither yes nor no: a test must not pass on it. */
  | { readonly kind: "undecided"; readonly configurations: number };

/** Configurations looked at before the search gives up. A good history needs a few for each operation. */
const CONFIGURATIONS_MAX = 300_000;

/** Looks for an order. Cost: near linear when there is one, bounded by the budget when there is none. */
export function linearize<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  options: { readonly configurationsMax?: number } = {},
): Verdict<State, Input, Output> {
  return new Search(model, operations, options.configurationsMax ?? CONFIGURATIONS_MAX).run();
}

/**
 * The same operations by what they are about. Linearizability is local: a history is linearizable if it is so for each object
 * (Herlihy and Wing, theorem 1), and many short searches cost far less than a long one (Horn and Kroening, "Faster
 * linearizability checking via P-compositionality", 2015).
 */
export function partition<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  object: (input: Input) => string,
): Map<string, Operation<Input, Output>[]> {
  return Map.groupBy(operations, ({ input }) => object(input));
}

/** An operation with what the search needs of it. */
interface Item<Input, Output> {
  readonly operation: Operation<Input, Output>;
  /** Its bit among the answered ones that are under way; given to another once it is answered. Unknown ones keep theirs. */
  readonly bit: bigint;
  readonly unknown: boolean;
  /** Unknown operations with equal effects are interchangeable. */
  readonly effect: string;
}

/** An answer that must be explained, and what was under way when it came. */
interface Return<Input, Output> {
  readonly item: Item<Input, Output>;
  readonly pending: readonly Item<Input, Output>[];
}

/** How far an attempt has come. */
interface Configuration<State, Input, Output> {
  /** Returns explained so far. */
  readonly at: number;
  readonly state: State;
  /** Id of the state's key. */
  readonly stateId: number;
  /** Bits of answered operations that are in the order, though their answers are still to come. */
  readonly known: bigint;
  /** Bits of operations without an answer that are in the order. */
  readonly unknown: bigint;
  readonly placed: Item<Input, Output> | null;
  readonly parent: Configuration<State, Input, Output> | null;
}

class Search<State, Input, Output> {
  readonly #model: Model<State, Input, Output>;
  readonly #returns: readonly Return<Input, Output>[];
  readonly #configurationsMax: number;
  readonly #stateIds = new Map<string, number>();
  /** The ids once more, for states that are objects: most steps leave the state as it is, and keys cost time. */
  readonly #objectIds = new WeakMap<object, number>();
  /** What was looked at, as sets of unknown operations in use: see #isNew. */
  readonly #seen = new Map<string, bigint[]>();

  constructor(
    model: Model<State, Input, Output>,
    operations: readonly Operation<Input, Output>[],
    configurationsMax: number,
  ) {
    this.#model = model;
    this.#returns = returnsOf(operations, (input) => model.effect?.(input) ?? JSON.stringify(input));
    this.#configurationsMax = configurationsMax;
  }

  run(): Verdict<State, Input, Output> {
    const { init } = this.#model;
    const start: Configuration<State, Input, Output> = {
      at: 0,
      state: init,
      stateId: this.#stateId(init),
      known: 0n,
      unknown: 0n,
      placed: null,
      parent: null,
    };
    let furthest = start;
    let configurations = 0;
    const stack = [start];
    for (let popped = stack.pop(); popped !== undefined; popped = stack.pop()) {
      const here = this.#withReads(popped);
      if (here.at === this.#returns.length) return { kind: "linearizable", order: orderOf(here) };
      if (!this.#isNew(here)) continue;
      configurations += 1;
      if (configurations > this.#configurationsMax) return { kind: "undecided", configurations };
      if (here.at > furthest.at) furthest = here;
      stack.push(...this.#next(here));
    }
    return { kind: "not_linearizable", counterexample: this.#counterexample(furthest) };
  }

  /**
   * Puts every read into the order that is under way and fits here: it can never stand better. Without this, every set of
   * the reads under way would be a configuration of its own.
   */
  #withReads(from: Configuration<State, Input, Output>): Configuration<State, Input, Output> {
    let here = from;
    for (let at = -1; at !== here.at && here.at < this.#returns.length;) {
      at = here.at;
      const { pending } = this.#returns[at] as Return<Input, Output>;
      for (const item of pending) {
        const { input, completed } = item.operation;
        if (completed === null || (item.bit & here.known) !== 0n) continue;
        if (!this.#model.isRead(input, completed.output)) continue;
        if (this.#model.step(here.state, input, completed.output) === null) continue;
        here = { ...here, known: here.known | item.bit, placed: item, parent: here };
      }
      here = this.#advance(here, true);
    }
    return here;
  }

  /** Every operation that may come next, the one whose answer is due as the last: it is tried first. */
  #next(here: Configuration<State, Input, Output>): Configuration<State, Input, Output>[] {
    const { item: due, pending } = this.#returns[here.at] as Return<Input, Output>;
    const out: Configuration<State, Input, Output>[] = [];
    const tried = new Set<string>();
    for (const item of pending) {
      if ((item.bit & (item.unknown ? here.unknown : here.known)) !== 0n) continue;
      if (item.unknown) {
        // The one invoked first stands for all that are equal: whoever could use another could use it.
        if (tried.has(item.effect)) continue;
        tried.add(item.effect);
      }
      const { input, completed } = item.operation;
      const state = this.#model.step(here.state, input, completed?.output);
      if (state === null) continue;
      const stateId = this.#stateId(state);
      // An unknown operation without effect explains nothing; it may as well never have happened.
      if (item.unknown && stateId === here.stateId) continue;
      const moved = { ...here, state, stateId, placed: item, parent: here };
      if (item.unknown) out.push({ ...moved, unknown: here.unknown | item.bit });
      else out.push(this.#advance({ ...moved, known: here.known | item.bit }, item === due));
    }
    return out;
  }

  /** Goes over the answers that are explained already. */
  #advance(
    here: Configuration<State, Input, Output>,
    explains: boolean,
  ): Configuration<State, Input, Output> {
    if (!explains) return here;
    let { at, known } = here;
    for (; at < this.#returns.length; at += 1) {
      const { bit } = (this.#returns[at] as Return<Input, Output>).item;
      if ((known & bit) === 0n) break;
      known &= ~bit;
    }
    return { ...here, at, known };
  }

  /**
   * False for a configuration that can reach nothing new: one like it was looked at that had used the same unknown operations
   * or fewer. What it could still do, the other could do, for unknown operations may always be left out.
   */
  #isNew({ at, stateId, known, unknown }: Configuration<State, Input, Output>): boolean {
    const key = `${at} ${stateId} ${known}`;
    const used = this.#seen.get(key);
    if (used === undefined) {
      this.#seen.set(key, [unknown]);
      return true;
    }
    if (used.some((fewer) => (fewer & unknown) === fewer)) return false;
    used.push(unknown);
    return true;
  }

  #stateId(state: State): number {
    const known = typeof state === "object" && state !== null ? this.#objectIds.get(state) : undefined;
    if (known !== undefined) return known;
    const key = this.#model.key(state);
    const id = this.#stateIds.get(key) ?? this.#stateIds.size;
    this.#stateIds.set(key, id);
    if (typeof state === "object" && state !== null) this.#objectIds.set(state, id);
    return id;
  }

  #counterexample(furthest: Configuration<State, Input, Output>): Counterexample<State, Input, Output> {
    const { item: stuck, pending } = this.#returns[furthest.at] as Return<Input, Output>;
    const concurrent = pending.filter(
      (item) => item !== stuck && (item.bit & (item.unknown ? furthest.unknown : furthest.known)) === 0n,
    );
    return {
      prefix: orderOf(furthest),
      state: furthest.state,
      stuck: stuck.operation,
      concurrent: concurrent.map(({ operation }) => operation),
    };
  }
}

/** All answers in the order of time. Of two at the same moment, calls come before answers: they may have overlapped. */
function returnsOf<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  effectOf: (input: Input) => string,
): readonly Return<Input, Output>[] {
  const calls = operations.toSorted((a, b) => a.invokedMs - b.invokedMs);
  const answers = calls
    .filter(({ completed }) => completed !== null)
    .toSorted((a, b) => (a.completed?.atMs ?? 0) - (b.completed?.atMs ?? 0));
  const items = new Map<Operation<Input, Output>, Item<Input, Output>>();
  const unknown: Item<Input, Output>[] = [];
  const known = new Set<Item<Input, Output>>();
  const free: bigint[] = [];
  let bits = 0n;
  let called = 0;
  return answers.map((answer): Return<Input, Output> => {
    const atMs = answer.completed?.atMs ?? 0;
    for (; (calls[called]?.invokedMs ?? Infinity) <= atMs; called += 1) {
      const operation = calls[called] as Operation<Input, Output>;
      const effect = effectOf(operation.input);
      if (operation.completed === null) {
        unknown.push({ operation, bit: 1n << BigInt(unknown.length), unknown: true, effect });
        continue;
      }
      const bit = free.pop() ?? 1n << bits;
      if (bit === 1n << bits) bits += 1n;
      const item = { operation, bit, unknown: false, effect };
      items.set(operation, item);
      known.add(item);
    }
    const item = items.get(answer) as Item<Input, Output>;
    known.delete(item);
    free.push(item.bit);
    // Those without an answer are tried last, the one that is due first: see #next.
    return { item, pending: [...unknown, ...known, item] };
  });
}

function orderOf<State, Input, Output>(
  last: Configuration<State, Input, Output>,
): Operation<Input, Output>[] {
  const out: Operation<Input, Output>[] = [];
  for (let here: typeof last | null = last; here !== null; here = here.parent) {
    if (here.placed !== null) out.push(here.placed.operation);
  }
  return out.toReversed();
}
