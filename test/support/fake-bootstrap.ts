import type { Bootstrap, Validation } from "#agent/ports/bootstrap.ts";
import { requestError } from "#shared/bootstrap/check.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import {
  stepBootstrap,
  type BootstrapAction,
  type BootstrapEvent,
  type BootstrapState,
  type BootstrapStepRecord,
} from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { EpochMs } from "#shared/lib/time.ts";

/**
 * A bootstrap that accepts and refuses like the real one, and then does nothing: the test says how it goes on, by setting
 * `state` and `uid`. It knows no host that a request could contradict.
 */
export class FakeBootstrap implements Bootstrap {
  uid: number | null = null;
  steps: readonly BootstrapStepRecord[] = [];
  /** For a member: the incarnation of its cluster, when that has no leader. */
  lost: number | null = null;
  /** What a rehearsal is told. */
  validation: Validation = { ok: true };
  readonly started: { readonly action: BootstrapAction; readonly request: BootstrapRequest }[] = [];
  readonly #at: EpochMs;
  readonly #listeners = new Set<(state: BootstrapState) => void>();
  #state: BootstrapState = { name: "idle" };

  /** `at`: when its attempts begin. */
  constructor(options: { readonly at: EpochMs }) {
    this.#at = options.at;
  }

  get state(): BootstrapState {
    return this.#state;
  }

  set state(state: BootstrapState) {
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }

  async start(action: BootstrapAction, request: BootstrapRequest): Promise<void> {
    const step = stepBootstrap(this.#state, this.#requested(action));
    if ("refused" in step) throw new AppError(step.refused, {});
    const wrong = requestError(action, request, { member: this.#state.name === "completed" });
    if (wrong !== null) throw wrong;
    this.started.push({ action, request });
    this.state = step.state;
  }

  async validate(action: BootstrapAction, request: BootstrapRequest): Promise<Validation> {
    const step = stepBootstrap(this.#state, this.#requested(action));
    if ("refused" in step) throw new AppError(step.refused, {});
    const wrong = requestError(action, request, { member: this.#state.name === "completed" });
    if (wrong !== null) throw wrong;
    return this.validation;
  }

  #requested(action: BootstrapAction): BootstrapEvent {
    return { type: "requested", action, at: this.#at, lost: this.lost };
  }

  onChange(listener: (state: BootstrapState) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
}
