import type { ServerResponse } from "node:http";

import type { History } from "#agent/api/history.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { ChangesEvent, PositionEvent } from "#shared/contract/native.ts";

import type { ChangeFeed } from "./feed.ts";

/** Tells a reader to come back after this long when it loses the connection. Milliseconds. */
const RETRY_MS = 1000;
/** A reader that has not taken the end after this long is cut off. Milliseconds. */
const LINGER_MS = 5000;

/**
 * One reader of the change feed, in the form of Server-Sent Events (WHATWG HTML, section 9.2). It writes only what the
 * connection takes; a reader that falls behind the whole feed is told `reset` and closed, so that nothing piles up.
 */
export class EventStream {
  readonly #feed: ChangeFeed;
  readonly #out: ServerResponse;
  readonly #clock: Clock;
  readonly #history: Pick<History, "stamp">;
  #position = 0;
  /** The feed's count of resets when this began; null before. */
  #resets: number | null = null;
  #blocked = false;
  #ended = false;

  constructor(deps: {
    readonly feed: ChangeFeed;
    readonly out: ServerResponse;
    readonly clock: Clock;
    readonly history: Pick<History, "stamp">;
  }) {
    this.#feed = deps.feed;
    this.#out = deps.out;
    this.#clock = deps.clock;
    this.#history = deps.history;
  }

  /** The connection is there for the reader, who may have to wait until this agent has what the reader has. */
  open(): void {
    this.#out.write(`retry: ${RETRY_MS}\n\n`);
    this.#out.on("drain", () => {
      this.#blocked = false;
      this.advance();
    });
  }

  /**
   * Says where it begins, then all that is known from there on: after an index that has been applied here, from now (`now`), or,
   * because nobody knows what the reader has (`unknown`), from now with a reset.
   */
  begin(after: number | "now" | "unknown"): void {
    if (this.#ended) return;
    this.#resets = this.#feed.resets;
    const known = typeof after === "number" && this.#feed.next(after) !== null;
    this.#position = known ? after : this.#feed.position;
    this.#write(known || after === "now" ? "start" : "reset", this.#position, { index: this.#position });
    this.advance();
  }

  /** Writes what is new, as far as the connection takes it. */
  advance(): void {
    while (!this.#ended && this.#resets !== null) {
      if (this.#resets !== this.#feed.resets) return this.#reset();
      const batch = this.#feed.next(this.#position);
      if (batch === null) return this.#reset();
      if (batch === undefined || this.#blocked) return;
      this.#position = batch.index;
      this.#write("changes", batch.index, batch);
    }
  }

  /** A comment, so that neither side nor anything between them takes the silence for a dead connection. */
  keepAlive(): void {
    if (!this.#ended && !this.#blocked) this.#out.write(": alive\n\n");
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#out.end();
    void this.#cutOff();
  }

  async #cutOff(): Promise<void> {
    await this.#clock.sleep(LINGER_MS);
    // Finished in time, the connection may be serving another request by now.
    if (!this.#out.writableFinished) this.#out.destroy();
  }

  /** The reader has missed something, or is too slow to be told everything: it reads anew and comes back. */
  #reset(): void {
    const position = this.#feed.position;
    this.#write("reset", position, { index: position });
    this.end();
  }

  #write(event: string, index: number, data: ChangesEvent | PositionEvent): void {
    const id = this.#history.stamp(index) ?? index;
    if (!this.#out.write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`))
      this.#blocked = true;
  }
}
