import type { Uint8ArrayList } from "uint8arraylist";
import { AppError } from "#shared/errors/app-error.ts";

/** Bytes of the length that precedes each frame's body: an unsigned 32-bit integer, big-endian. */
const FRAME_HEADER_BYTES = 4;

/** The peer broke the framing; its stream cannot be read any further. */
export class FrameViolation extends Error {
  override readonly name = "FrameViolation";
}

/** A frame with this JSON text as its body. Throws too_large beyond `bytesMax`, header included. */
export function encodeFrame(text: string, bytesMax: number): Uint8Array {
  const length = Buffer.byteLength(text);
  if (length + FRAME_HEADER_BYTES > bytesMax) {
    throw new AppError("too_large", { what: "a mesh message", limit_bytes: bytesMax });
  }
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + length);
  frame.writeUInt32BE(length, 0);
  frame.write(text, FRAME_HEADER_BYTES, "utf8");
  return frame;
}

/** An empty frame says nothing but "still here": the heartbeat. */
export function heartbeatFrame(): Uint8Array {
  return new Uint8Array(FRAME_HEADER_BYTES);
}

/**
 * Cuts a stream of bytes, in whatever pieces it comes, into JSON values. Frames that lie whole in one piece are parsed
 * in place; only one that is cut is copied, into a buffer of exactly its size.
 */
export class FrameDecoder {
  readonly #bytesMax: number;
  readonly #onValue: (value: unknown) => void;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerFilled = 0;
  #body: Buffer | null = null;
  #bodyFilled = 0;

  /** `bytesMax` is the largest frame, header included. Heartbeats are swallowed. */
  constructor(deps: { readonly onValue: (value: unknown) => void }, options: { readonly bytesMax: number }) {
    this.#onValue = deps.onValue;
    this.#bytesMax = options.bytesMax;
  }

  /** Throws FrameViolation for a frame that is too large or no JSON; after that the decoder must not be used. */
  push(data: Uint8Array | Uint8ArrayList): void {
    if (data instanceof Uint8Array) {
      this.#take(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
      return;
    }
    for (const piece of data) this.#take(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
  }

  #take(piece: Buffer): void {
    let at = 0;
    while (at < piece.length) {
      if (this.#body !== null) {
        at = this.#fillBody(this.#body, piece, at);
        continue;
      }
      if (this.#headerFilled === 0 && piece.length - at >= FRAME_HEADER_BYTES) {
        const length = this.#checked(piece.readUInt32BE(at));
        const end = at + FRAME_HEADER_BYTES + length;
        if (end <= piece.length) {
          this.#emit(piece, at + FRAME_HEADER_BYTES, end);
          at = end;
          continue;
        }
        this.#begin(length);
        at += FRAME_HEADER_BYTES;
        continue;
      }
      this.#header[this.#headerFilled] = piece[at] ?? 0;
      this.#headerFilled += 1;
      at += 1;
      if (this.#headerFilled === FRAME_HEADER_BYTES) this.#begin(this.#checked(this.#header.readUInt32BE(0)));
    }
  }

  #begin(length: number): void {
    this.#headerFilled = 0;
    if (length === 0) return;
    this.#body = Buffer.allocUnsafe(length);
    this.#bodyFilled = 0;
  }

  #fillBody(body: Buffer, piece: Buffer, at: number): number {
    const copied = piece.copy(body, this.#bodyFilled, at);
    this.#bodyFilled += copied;
    if (this.#bodyFilled === body.length) {
      this.#body = null;
      this.#emit(body, 0, body.length);
    }
    return at + copied;
  }

  #emit(bytes: Buffer, start: number, end: number): void {
    if (start === end) return;
    let value: unknown;
    try {
      value = JSON.parse(bytes.toString("utf8", start, end));
    } catch {
      throw new FrameViolation("the frame's body is not JSON");
    }
    this.#onValue(value);
  }

  #checked(length: number): number {
    if (length + FRAME_HEADER_BYTES > this.#bytesMax) {
      throw new FrameViolation(`the frame has ${length} bytes; at most ${this.#bytesMax} are allowed`);
    }
    return length;
  }
}
