import type { ConsensusLoop } from "./loop.ts";
import type { Leadership } from "./submit.ts";
import { METHOD, admit, check } from "./wire.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Transport, Wire } from "#agent/ports/transport.ts";
import type { Consensus, ReadState } from "#shared/consensus/ready.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { INDEX_WAITERS_MAX } from "#shared/lib/limits.ts";

/** Pause before readers that found no leader ask again. */
const RETRY_MS = 50;
/** Longest one question to the leader may take before it is asked again. */
const ASK_MS = 2000;

/** Readers that began before the same question was asked; one answer serves them all. */
interface Reader {
  readonly deadlineMs: number;
  readonly resolve: (index: number) => void;
  readonly reject: (error: unknown) => void;
  readonly release: () => void;
  done: boolean;
}

interface Deps {
  readonly loop: Pick<ConsensusLoop, "once">;
  readonly transport: Pick<Transport, "self" | "request">;
  readonly clock: Clock;
  readonly leadership: () => Leadership;
  readonly missing: () => readonly MemberId[];
}

/**
 * Read barriers (ReadIndex, dissertation §6.4). The leader notes its commit index and proves that it still leads; a reader
 * elsewhere asks it for that index. What is read once it is applied is at least as new as when the barrier was asked for.
 */
export class ReadBarriers {
  readonly #deps: Deps;
  readonly #readers = new Set<Reader>();
  /** Readers that no question covers yet. */
  #waiting: Reader[] = [];
  /** Questions to the own core, by the context it was given. */
  readonly #asked = new Map<string, readonly Reader[]>();
  #contexts = 0;
  readonly #inTurn = (core: Consensus): void => this.#ask(core);
  #retryAtMs = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** An index that covers everything committed anywhere before this call. Rejects with quorum_lost or overloaded. */
  index(options: { readonly timeoutMs: number; readonly signal?: AbortSignal }): Promise<number> {
    const { signal } = options;
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    if (this.#readers.size >= INDEX_WAITERS_MAX) {
      return Promise.reject(new AppError("overloaded", { what: "read barriers" }));
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#end(reader);
        reject(signal?.reason as Error);
      };
      const reader: Reader = {
        deadlineMs: this.#deps.clock.monotonicMs() + options.timeoutMs,
        resolve,
        reject,
        release: () => signal?.removeEventListener("abort", abort),
        done: false,
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#readers.add(reader);
      this.#waiting.push(reader);
      this.#schedule();
    });
  }

  /** What the core has proved, or could not. */
  onReads(reads: readonly ReadState[]): void {
    for (const { context, index } of reads) {
      const readers = this.#asked.get(context) ?? [];
      this.#asked.delete(context);
      if (index === null) this.#again(readers);
      else this.#answer(readers, index);
    }
  }

  /** Whether nobody waits for an answer. */
  get idle(): boolean {
    return this.#readers.size === 0;
  }

  onTurn(): void {
    if (this.#readers.size === 0) return;
    const now = this.#deps.clock.monotonicMs();
    const { leader } = this.#deps.leadership();
    for (const reader of this.#readers) {
      if (reader.deadlineMs > now) continue;
      this.#end(reader);
      reader.reject(new AppError("quorum_lost", { leader, missing: this.#deps.missing() }));
    }
    if (this.#waiting.length > 0 && leader !== null && now >= this.#retryAtMs) this.#schedule();
  }

  failAll(error: Error): void {
    for (const reader of this.#readers) {
      this.#end(reader);
      reader.reject(error);
    }
  }

  /** Another agent's question. Answered once leadership is proved; rejects with quorum_lost when this one does not lead. */
  async serve(body: Wire): Promise<Wire> {
    const { timeoutMs } = admit(check.readIndexRequest, body, METHOD.readIndex);
    const { leader } = this.#deps.leadership();
    if (leader !== this.#deps.transport.self) throw new AppError("quorum_lost", { leader, missing: [] });
    return { index: await this.index({ timeoutMs }) };
  }

  #schedule(): void {
    this.#deps.loop.once(this.#inTurn);
  }

  #ask(core: Consensus): void {
    const { leader } = this.#deps.leadership();
    this.#retryAtMs = this.#deps.clock.monotonicMs() + RETRY_MS;
    if (leader === null) return;
    const readers = this.#waiting.filter(({ done }) => !done);
    this.#waiting = [];
    if (readers.length === 0) return;
    if (leader !== this.#deps.transport.self) {
      void this.#askLeader(leader, readers);
      return;
    }
    this.#contexts += 1;
    const context = String(this.#contexts);
    if (core.readIndex(context)) this.#asked.set(context, readers);
    else this.#again(readers);
  }

  async #askLeader(leader: MemberId, readers: readonly Reader[]): Promise<void> {
    try {
      const answer = await this.#deps.transport.request(
        leader,
        "control",
        METHOD.readIndex,
        { timeoutMs: ASK_MS },
        { timeoutMs: ASK_MS },
      );
      this.#answer(readers, admit(check.readIndexAnswer, answer, METHOD.readIndex).index);
    } catch {
      // Whatever went wrong, a read may simply be asked again until its time is up.
      this.#again(readers);
    }
  }

  #again(readers: readonly Reader[]): void {
    for (const reader of readers) if (!reader.done) this.#waiting.push(reader);
  }

  #answer(readers: readonly Reader[], index: number): void {
    for (const reader of readers) {
      if (reader.done) continue;
      this.#end(reader);
      reader.resolve(index);
    }
  }

  #end(reader: Reader): void {
    reader.done = true;
    this.#readers.delete(reader);
    reader.release();
  }
}
