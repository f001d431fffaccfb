import type { ConsensusLoop } from "./loop.ts";
import type { Leadership } from "./submit.ts";
import { METHOD, admit, check, toWire, type PullAnswer } from "./wire.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Wire } from "#agent/ports/transport.ts";
import type { Consensus } from "#shared/consensus/ready.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { APPEND_BYTES_MAX, PULLS_WAITING_MAX } from "#shared/lib/limits.ts";

interface Waiting {
  readonly from: number;
  readonly deadlineMs: number;
  readonly resolve: (answer: Wire) => void;
  readonly reject: (error: AppError) => void;
}

interface Deps {
  readonly core: Pick<Consensus, "committedFrom">;
  readonly loop: Pick<ConsensusLoop, "status">;
  readonly clock: Clock;
  readonly leadership: () => Leadership;
  readonly ageMs: () => number | null;
}

/** Serves committed entries to agents that are not part of the voting configuration. Any member can; it needs no leader. */
export class PullServer {
  readonly #deps: Deps;
  readonly #waiting = new Set<Waiting>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Answers at once when there is something new, else when there is, or when the puller's time is up. */
  serve(puller: MemberId, body: Wire, signal: AbortSignal): Promise<Wire> {
    const { from, waitMs } = admit(check.pullRequest, body, METHOD.pull);
    if (waitMs === 0 || from <= this.#deps.loop.status.commit) {
      return Promise.resolve(toWire(this.#answer(from)));
    }
    if (this.#waiting.size >= PULLS_WAITING_MAX) {
      return Promise.reject(new AppError("overloaded", { what: "serving the log" }));
    }
    return new Promise((resolve, reject) => {
      const waiting = { from, deadlineMs: this.#deps.clock.monotonicMs() + waitMs, resolve, reject };
      this.#waiting.add(waiting);
      const gone = (): void => {
        if (this.#waiting.delete(waiting)) reject(new AppError("peer_unreachable", { peer: puller }));
      };
      signal.addEventListener("abort", gone, { once: true });
    });
  }

  /** When the first of those that wait has to be answered; Infinity when nobody waits. Monotonic milliseconds. */
  get nextDeadlineMs(): number {
    let next = Infinity;
    for (const { deadlineMs } of this.#waiting) next = Math.min(next, deadlineMs);
    return next;
  }

  onTurn(): void {
    if (this.#waiting.size === 0) return;
    const now = this.#deps.clock.monotonicMs();
    const { commit } = this.#deps.loop.status;
    for (const waiting of this.#waiting) {
      if (waiting.from > commit && waiting.deadlineMs > now) continue;
      this.#waiting.delete(waiting);
      waiting.resolve(toWire(this.#answer(waiting.from)));
    }
  }

  failAll(error: AppError): void {
    for (const waiting of this.#waiting) waiting.reject(error);
    this.#waiting.clear();
  }

  #answer(from: number): PullAnswer {
    const { core, loop } = this.#deps;
    const entries = core.committedFrom(from, APPEND_BYTES_MAX);
    const { leader, term } = this.#deps.leadership();
    return {
      entries: entries === null ? [] : [...entries],
      snapshot: entries === null,
      commit: loop.status.commit,
      term,
      leader,
      ageMs: this.#deps.ageMs(),
    };
  }
}
