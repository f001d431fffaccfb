import type { AppError } from "#shared/errors/app-error.ts";
import type { Command, Expectation } from "#shared/registry/command.ts";
import type { Submitted } from "#agent/ports/registry.ts";

/** A command on its way into the log and back. */
export interface Submission {
  /** Counts this agent's commands; together with its session it makes repetition harmless. */
  readonly seq: number;
  readonly command: Command;
  /** Length of its JSON text. */
  readonly chars: number;
  readonly by: string;
  readonly key: string | undefined;
  readonly expect: Expectation | undefined;
  readonly deadlineMs: number;
  readonly resolve: (submitted: Submitted) => void;
  readonly reject: (error: unknown) => void;
  /** Stops listening to the caller's signal. */
  release: () => void;
  /** It may be in some leader's log. */
  exposed: boolean;
  /** `accepted`: it is in the log of the leader of `term`; that leader will not lose it while it leads. */
  phase: "waiting" | "sending" | "accepted" | "done";
  term: number;
}

/** Commands of this agent that nobody has answered yet, oldest first. */
export class Pending {
  readonly #bySeq = new Map<number, Submission>();

  get size(): number {
    return this.#bySeq.size;
  }

  add(submission: Submission): void {
    this.#bySeq.set(submission.seq, submission);
  }

  values(): Iterable<Submission> {
    return this.#bySeq.values();
  }

  /** Every command below this number has been answered or given up. */
  ack(next: number): number {
    const oldest = this.#bySeq.keys().next();
    return oldest.done === true ? next : oldest.value;
  }

  answer(seq: number, submitted: Submitted): void {
    this.#take(seq)?.resolve(submitted);
  }

  fail(seq: number, error: AppError | Error): void {
    this.#take(seq)?.reject(error);
  }

  #take(seq: number): Submission | undefined {
    const submission = this.#bySeq.get(seq);
    if (submission === undefined) return undefined;
    this.#bySeq.delete(seq);
    submission.phase = "done";
    submission.release();
    return submission;
  }
}
