import { lastChange, watchedNames, type Subject } from "#agent/api/shown.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Registry } from "#agent/ports/registry.ts";
import { versionKey, type Change } from "#shared/registry/state.ts";

/** How often deadlines are looked at while anybody waits. Milliseconds. */
const LOOK_MS = 100;
/** Callers that go on in one turn of the event loop: an answer costs far more than a wake-up, and consensus must not wait for 5000. */
const WAKE_AT_ONCE = 8;

interface Waiter {
  readonly names: readonly string[];
  readonly after: number;
  readonly deadlineMs: number;
  readonly release: () => void;
  readonly resolve: () => void;
}

/**
 * Callers that wait until something of the registry has changed: blocking reads. They stand under the names of what they
 * wait for, so a change costs nothing for those it does not concern; and there is one timer for all, none for nobody.
 */
export class ChangeWaiters implements Disposable {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #byName = new Map<string, Set<Waiter>>();
  readonly #all = new Set<Waiter>();
  #ready: Waiter[] = [];
  #subscriptions: readonly Disposable[] = [];
  #looking: Disposable | null = null;
  #closed = false;

  constructor(deps: { readonly registry: Registry; readonly clock: Clock }) {
    this.#registry = deps.registry;
    this.#clock = deps.clock;
  }

  start(): void {
    this.#subscriptions = [
      this.#registry.onChange((changes) => this.#onChange(changes)),
      // What a snapshot or another history has changed is not known one by one: everybody looks anew.
      this.#registry.onReset(() => this.#wakeAll()),
    ];
  }

  /**
   * Resolves once the subject has changed after that index, at a reset, at the end of the time, or when the server closes: the
   * caller then answers with what is there. Rejects with the signal's reason only.
   */
  wait(
    subject: Subject,
    after: number,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<void> {
    const { signal } = options;
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.#closed || lastChange(this.#registry.state, subject) > after) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#remove(waiter);
        reject(signal.reason as Error);
      };
      const waiter: Waiter = {
        names: watchedNames(subject),
        after,
        deadlineMs: this.#clock.monotonicMs() + options.timeoutMs,
        release: () => signal.removeEventListener("abort", abort),
        resolve,
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#add(waiter);
    });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    this.#wakeAll();
  }

  #onChange(changes: readonly Change[]): void {
    if (this.#all.size === 0) return;
    for (const { index, topic, id } of changes) {
      this.#wakeNamed(topic, index);
      this.#wakeNamed(versionKey(topic, id), index);
    }
  }

  #wakeNamed(name: string, index: number): void {
    for (const waiter of this.#byName.get(name) ?? []) if (index > waiter.after) this.#wake(waiter);
  }

  #wakeAll(): void {
    for (const waiter of this.#all) this.#wake(waiter);
  }

  #look(): void {
    const now = this.#clock.monotonicMs();
    for (const waiter of this.#all) if (waiter.deadlineMs <= now) this.#wake(waiter);
  }

  #add(waiter: Waiter): void {
    this.#all.add(waiter);
    for (const name of waiter.names) {
      const same = this.#byName.get(name);
      if (same === undefined) this.#byName.set(name, new Set([waiter]));
      else same.add(waiter);
    }
    this.#looking ??= this.#clock.every(LOOK_MS, () => this.#look());
  }

  #remove(waiter: Waiter): void {
    this.#all.delete(waiter);
    for (const name of waiter.names) {
      const same = this.#byName.get(name);
      same?.delete(waiter);
      if (same?.size === 0) this.#byName.delete(name);
    }
    waiter.release();
    if (this.#all.size > 0) return;
    this.#looking?.[Symbol.dispose]();
    this.#looking = null;
  }

  #wake(waiter: Waiter): void {
    this.#remove(waiter);
    if (this.#ready.length === 0) setImmediate(() => this.#resolveSome());
    this.#ready.push(waiter);
  }

  #resolveSome(): void {
    const some = this.#ready;
    this.#ready = some.splice(WAKE_AT_ONCE);
    for (const { resolve } of some) resolve();
    if (this.#ready.length > 0) setImmediate(() => this.#resolveSome());
  }
}
