import type { Clock } from "#agent/ports/clock.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { INDEX_WAITERS_MAX } from "#shared/lib/limits.ts";

interface Waiter {
  readonly index: number;
  readonly deadlineMs: number;
  readonly resolve: (applied: number) => void;
  readonly reject: (error: unknown) => void;
  readonly release: () => void;
}

/** Callers that wait until an index is applied here. Deadlines are looked at once per tick: no timer per caller. */
export class IndexWaiters {
  readonly #clock: Clock;
  readonly #byIndex = new Map<number, Set<Waiter>>();
  #count = 0;

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** Rejects with index_not_reached, overloaded, or the signal's reason. */
  wait(
    index: number,
    applied: number,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<number> {
    const { signal } = options;
    if (index <= applied) return Promise.resolve(applied);
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    if (this.#count >= INDEX_WAITERS_MAX) {
      return Promise.reject(new AppError("overloaded", { what: "waiting for an index" }));
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#remove(waiter);
        reject(signal?.reason as Error);
      };
      const waiter: Waiter = {
        index,
        deadlineMs: this.#clock.monotonicMs() + options.timeoutMs,
        resolve,
        reject,
        release: () => signal?.removeEventListener("abort", abort),
      };
      signal?.addEventListener("abort", abort, { once: true });
      const same = this.#byIndex.get(index);
      if (same === undefined) this.#byIndex.set(index, new Set([waiter]));
      else same.add(waiter);
      this.#count += 1;
    });
  }

  /** Exactly one more entry is applied. */
  applied(index: number): void {
    this.#resolve(index, index);
  }

  /** The state jumped: everything up to the index is applied. */
  jumped(index: number): void {
    for (const wanted of this.#byIndex.keys()) if (wanted <= index) this.#resolve(wanted, index);
  }

  /** When the first of them gives up; Infinity when nobody waits. Monotonic milliseconds. */
  get nextDeadlineMs(): number {
    let next = Infinity;
    for (const waiters of this.#byIndex.values()) {
      for (const { deadlineMs } of waiters) next = Math.min(next, deadlineMs);
    }
    return next;
  }

  expire(applied: number): void {
    if (this.#count === 0) return;
    const now = this.#clock.monotonicMs();
    for (const waiters of this.#byIndex.values()) {
      for (const waiter of waiters) {
        if (waiter.deadlineMs > now) continue;
        this.#remove(waiter);
        waiter.reject(new AppError("index_not_reached", { index: applied, wanted: waiter.index }));
      }
    }
  }

  failAll(error: Error): void {
    for (const waiters of this.#byIndex.values()) {
      for (const waiter of waiters) {
        this.#remove(waiter);
        waiter.reject(error);
      }
    }
  }

  #resolve(wanted: number, applied: number): void {
    const waiters = this.#byIndex.get(wanted);
    if (waiters === undefined) return;
    for (const waiter of waiters) {
      this.#remove(waiter);
      waiter.resolve(applied);
    }
  }

  #remove(waiter: Waiter): void {
    const same = this.#byIndex.get(waiter.index);
    if (same?.delete(waiter) !== true) return;
    if (same.size === 0) this.#byIndex.delete(waiter.index);
    this.#count -= 1;
    waiter.release();
  }
}
