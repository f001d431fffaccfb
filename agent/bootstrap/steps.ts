import type { Clock } from "#agent/ports/clock.ts";
import type { BootstrapStepRecord } from "#shared/bootstrap/machine.ts";
import { BOOTSTRAP_STEPS_MAX } from "#shared/lib/limits.ts";

/** Does a part of an attempt under a name by which it is shown. Rejects as the work does. */
export type DoStep = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/** For rehearsals: what they do is no part of any attempt. */
export const unrecorded: DoStep = (_name, work) => work();

/**
 * What one attempt has done so far. Parts may overlap; a part that is tried again is another one, and beyond
 * BOOTSTRAP_STEPS_MAX the oldest are dropped.
 */
export class StepRecorder {
  readonly #clock: Clock;
  readonly #onChange: () => void;
  #steps: readonly BootstrapStepRecord[] = [];

  /** `onChange`: called after a part has begun and after it has ended. */
  constructor(deps: { readonly clock: Clock; readonly onChange: () => void }) {
    this.#clock = deps.clock;
    this.#onChange = deps.onChange;
  }

  /** In the order in which they began. A new array whenever something changed. */
  get steps(): readonly BootstrapStepRecord[] {
    return this.#steps;
  }

  readonly step: DoStep = async (name, work) => {
    let record: BootstrapStepRecord = { name, state: "running", start: this.#clock.now(), end: null };
    const end = (state: "done" | "failed"): void => {
      const ended = { ...record, state, end: this.#clock.now() };
      this.#set(this.#steps.map((one) => (one === record ? ended : one)));
      record = ended;
    };
    this.#set([...this.#steps, record].slice(-BOOTSTRAP_STEPS_MAX));
    try {
      const result = await work();
      end("done");
      return result;
    } catch (error) {
      end("failed");
      throw error;
    }
  };

  /** The attempt is over: what is still under way never ended. Tells nobody; whoever ends the attempt does. */
  close(): readonly BootstrapStepRecord[] {
    this.#steps = this.#steps.map((one) => (one.state === "running" ? { ...one, state: "failed" } : one));
    return this.#steps;
  }

  #set(steps: readonly BootstrapStepRecord[]): void {
    this.#steps = steps;
    this.#onChange();
  }
}
