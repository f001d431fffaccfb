/** A group of readers that share one heartbeat round. */
interface Asked {
  readonly round: number;
  readonly index: number;
  readonly contexts: readonly string[];
}

/**
 * Read barriers of a leader (ReadIndex, dissertation §6.4): the commit index is noted, then one round of heartbeats that
 * began afterwards must be answered by a majority before anybody may read at that index.
 */
export class ReadQueue {
  #waiting: string[] = [];
  #asked: Asked[] = [];
  #round = 0;
  #size = 0;

  /** Number of the newest heartbeat round. */
  get round(): number {
    return this.#round;
  }

  /** Readers that wait. */
  get size(): number {
    return this.#size;
  }

  /** Whether some reader is not yet covered by a round. */
  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  add(context: string): void {
    this.#waiting.push(context);
    this.#size += 1;
  }

  /** All waiting readers join a new round at this commit index. */
  open(index: number): void {
    this.#round += 1;
    this.#asked.push({ round: this.#round, index, contexts: this.#waiting });
    this.#waiting = [];
  }

  /** A majority has answered this round: it proves all rounds up to it. */
  settle(round: number): Asked[] {
    const open = this.#asked.findIndex((asked) => asked.round > round);
    const settled = this.#asked.splice(0, open === -1 ? this.#asked.length : open);
    for (const asked of settled) this.#size -= asked.contexts.length;
    return settled;
  }

  /** Every reader, none of which can be answered any more. */
  abandon(): string[] {
    const contexts = [...this.#asked.flatMap((asked) => asked.contexts), ...this.#waiting];
    this.#asked = [];
    this.#waiting = [];
    this.#size = 0;
    return contexts;
  }
}
