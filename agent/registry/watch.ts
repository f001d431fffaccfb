import type { Log } from "#agent/ports/log.ts";
import type { Change } from "#shared/registry/state.ts";

/** Who wants to hear of changes. Outlives leaving and entering clusters; a listener that throws disturbs nobody else. */
export class Watchers {
  readonly #log: Log;
  readonly #onChange = new Set<(changes: readonly Change[]) => void>();
  readonly #onReset = new Set<(index: number) => void>();

  constructor(deps: { readonly log: Log }) {
    this.#log = deps.log;
  }

  onChange(listener: (changes: readonly Change[]) => void): Disposable {
    return add(this.#onChange, listener);
  }

  onReset(listener: (index: number) => void): Disposable {
    return add(this.#onReset, listener);
  }

  changed(changes: readonly Change[]): void {
    this.#tell(this.#onChange, changes);
  }

  reset(index: number): void {
    this.#tell(this.#onReset, index);
  }

  #tell<T>(listeners: ReadonlySet<(what: T) => void>, what: T): void {
    for (const listener of listeners) {
      try {
        listener(what);
      } catch (error) {
        this.#log.error({ err: error }, "a listener of registry changes failed");
      }
    }
  }
}

function add<T>(listeners: Set<T>, listener: T): Disposable {
  listeners.add(listener);
  return { [Symbol.dispose]: () => listeners.delete(listener) };
}
