import type { Stream } from "@libp2p/interface";

/** Most bytes handed to the stream at a time: what fits one noise frame (65,519) beside the muxer's header. */
const CHUNK_BYTES = 65_000;

/** One frame on its way. `sent` turns true when its first byte is handed to the stream: from then on it may arrive. */
export interface Ticket {
  readonly bytes: Uint8Array;
  sent: boolean;
}

/**
 * What waits to be written to one stream. Frames pushed together leave together, because the encryption
 * costs by the write rather than by the byte. Obeys the stream's `send() === false`, so that what waits, waits here,
 * where it is counted, can be refused, and is known not to have been sent.
 */
export class Outbox {
  readonly #stream: Stream;
  readonly #bytesMax: number;
  #queue: Ticket[] = [];
  #bytes = 0;
  /** The part of a large frame that is still to be handed over. */
  #rest: Uint8Array | null = null;
  #scheduled = false;
  #closed = false;

  constructor(deps: { readonly stream: Stream }, options: { readonly bytesMax: number }) {
    this.#stream = deps.stream;
    this.#bytesMax = options.bytesMax;
    this.#stream.addEventListener("drain", () => this.#schedule());
  }

  /** Queues a frame; null when the buffer is full or the stream is gone. */
  push(frame: Uint8Array): Ticket | null {
    if (this.#closed || this.waitingBytes + frame.byteLength > this.#bytesMax) return null;
    const ticket: Ticket = { bytes: frame, sent: false };
    this.#queue.push(ticket);
    this.#bytes += frame.byteLength;
    this.#schedule();
    return ticket;
  }

  /** Takes a frame back that has not been sent. False: too late. */
  takeBack(ticket: Ticket): boolean {
    if (ticket.sent) return false;
    const at = this.#queue.indexOf(ticket);
    if (at >= 0) {
      this.#queue.splice(at, 1);
      this.#bytes -= ticket.bytes.byteLength;
    }
    return true;
  }

  /** Bytes that were accepted and that the stream's transport has not taken. */
  get waitingBytes(): number {
    return this.#bytes + this.#stream.writeBufferLength;
  }

  /** Hands over what it can now, without waiting for the end of the turn: before a stream is closed. */
  flush(): void {
    while (!this.#closed && this.#hasWork() && !this.#stream.writableNeedsDrain) this.#sendChunk();
  }

  /** Nothing is accepted or sent any more. What was queued stays unsent. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#rest = null;
    this.#bytes = 0;
  }

  #hasWork(): boolean {
    return this.#rest !== null || this.#queue.length > 0;
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed || !this.#hasWork()) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#turn());
  }

  /** One chunk a turn of the event loop: a large frame of this stream must not keep a small one of another waiting. */
  #turn(): void {
    this.#scheduled = false;
    if (this.#closed || !this.#hasWork() || this.#stream.writableNeedsDrain) return;
    this.#sendChunk();
    if (!this.#hasWork()) return;
    this.#scheduled = true;
    setImmediate(() => this.#turn());
  }

  #sendChunk(): void {
    try {
      this.#stream.send(this.#nextChunk());
    } catch {
      this.close(); // The stream is closing: its close event tells the rest.
    }
  }

  #nextChunk(): Uint8Array {
    const parts: Uint8Array[] = [];
    let size = 0;
    if (this.#rest !== null) size = this.#add(parts, size, this.#rest);
    let taken = 0;
    while (this.#rest === null && taken < this.#queue.length && size < CHUNK_BYTES) {
      const ticket = this.#queue[taken];
      taken += 1;
      if (ticket === undefined) break;
      ticket.sent = true;
      size = this.#add(parts, size, ticket.bytes);
    }
    this.#queue.splice(0, taken);
    this.#bytes -= size;
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts, size);
  }

  #add(parts: Uint8Array[], size: number, bytes: Uint8Array): number {
    const room = CHUNK_BYTES - size;
    parts.push(bytes.byteLength <= room ? bytes : bytes.subarray(0, room));
    this.#rest = bytes.byteLength <= room ? null : bytes.subarray(room);
    return size + Math.min(room, bytes.byteLength);
  }
}
