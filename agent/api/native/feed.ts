import type { Registry } from "#agent/ports/registry.ts";
import type { ChangesEvent } from "#shared/contract/native.ts";
import { EVENT_QUEUE_MAX } from "#shared/lib/limits.ts";
import type { Change } from "#shared/registry/state.ts";

/**
 * The last EVENT_QUEUE_MAX entries that changed something, for readers that come back and for readers that are slow. A
 * reader keeps no queue of its own: it keeps the index it has, and takes what follows from here.
 */
export class ChangeFeed implements Disposable {
  readonly #registry: Registry;
  readonly #batches: ChangesEvent[] = [];
  /** Changes up to this index are not here (any more). */
  #forgotten = 0;
  #resets = 0;
  readonly #listeners = new Set<() => void>();
  readonly #subscriptions: Disposable[] = [];

  constructor(deps: { readonly registry: Registry }) {
    this.#registry = deps.registry;
  }

  start(): void {
    this.#forgotten = this.#registry.state.index;
    this.#subscriptions.push(
      this.#registry.onChange((changes) => this.#add(changes)),
      this.#registry.onReset((index) => this.#startAnew(index)),
    );
  }

  /** Index of the registry: where a reader that asks for nothing older begins. */
  get position(): number {
    return this.#registry.state.index;
  }

  /** How often the whole state was replaced: what was read before cannot be continued by what comes after. */
  get resets(): number {
    return this.#resets;
  }

  /** The first change after an index; undefined when there is none yet. Null: some that follow it are forgotten. */
  next(after: number): ChangesEvent | undefined | null {
    if (after < this.#forgotten) return null;
    return this.#batches[this.#firstAfter(after)];
  }

  /** Called after each addition, and when everything was replaced. */
  onAdvance(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    this.#listeners.clear();
  }

  #add(changes: readonly Change[]): void {
    const [first] = changes;
    if (first === undefined) return;
    this.#batches.push({
      index: first.index,
      at_ms: first.at,
      changes: changes.map(({ topic, op, id }) => ({ topic, op, id })),
    });
    if (this.#batches.length > EVENT_QUEUE_MAX)
      this.#forgotten = this.#batches.shift()?.index ?? this.#forgotten;
    this.#tell();
  }

  #startAnew(index: number): void {
    this.#batches.length = 0;
    this.#forgotten = index;
    this.#resets += 1;
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Position of the first batch with a higher index; the batches are in order of index. */
  #firstAfter(index: number): number {
    let [low, high] = [0, this.#batches.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#batches[middle]?.index ?? 0) > index) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
