import type { ServerResponse } from "node:http";

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
  #position: number;
  #blocked = false;
  #ended = false;

  constructor(
    deps: { readonly feed: ChangeFeed; readonly out: ServerResponse; readonly clock: Clock },
    options: { readonly after: number | null },
  ) {
    this.#feed = deps.feed;
    this.#out = deps.out;
    this.#clock = deps.clock;
    this.#position = options.after ?? deps.feed.position;
  }

  /** Says where it begins, then all that is known from there on. */
  start(): void {
    this.#out.write(`retry: ${RETRY_MS}\n\n`);
    const gap = this.#feed.next(this.#position) === null;
    if (gap) this.#position = this.#feed.position;
    this.#write(gap ? "reset" : "start", this.#position, { index: this.#position });
    this.#out.on("drain", () => {
      this.#blocked = false;
      this.advance();
    });
    this.advance();
  }

  /** Writes what is new, as far as the connection takes it. */
  advance(): void {
    while (!this.#ended) {
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

  #write(event: string, id: number, data: ChangesEvent | PositionEvent): void {
    if (!this.#out.write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`))
      this.#blocked = true;
  }
}
