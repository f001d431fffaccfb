import type { Connection, Stream } from "@libp2p/interface";
import type { StrangerChannel, Wire } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { JOIN_CONVERSATION_MS_MAX, JOIN_FRAME_BYTES_MAX } from "#shared/lib/limits.ts";
import { encodeFrame, FrameDecoder } from "./frames.ts";

/** Messages that may lie unread: the conversation goes to and fro, so more than a few are an attack. */
const UNREAD_MAX = 16;
/** Longest for the other side to take what was said last. Milliseconds. */
const CLOSE_MS_MAX = 2000;

/** One conversation over the join protocol, on a connection of its own. */
export class JoinChannel implements StrangerChannel {
  readonly remote: MemberId;
  readonly #connection: Connection;
  readonly #stream: Stream;
  readonly #unread: Wire[] = [];
  #reader: (() => void) | null = null;
  #ended = false;

  constructor(deps: { readonly connection: Connection; readonly stream: Stream }) {
    this.#connection = deps.connection;
    this.#stream = deps.stream;
    this.remote = deps.connection.remotePeer.toString();
    const decoder = new FrameDecoder(
      { onValue: (value) => this.#take(value as Wire) },
      { bytesMax: JOIN_FRAME_BYTES_MAX },
    );
    this.#stream.addEventListener("message", ({ data }) => {
      if (this.#ended) return;
      try {
        decoder.push(data);
      } catch (error) {
        this.#stream.abort(error instanceof Error ? error : new Error("unreadable"));
      }
    });
    this.#stream.addEventListener("close", () => this.#end());
    this.#stream.addEventListener("remoteCloseWrite", () => this.#end());
    // It may have ended while it was being opened; what came before that is delivered first.
    if (this.#stream.status !== "open") setImmediate(() => this.#end());
  }

  async send(body: Wire): Promise<void> {
    const frame = encodeFrame(JSON.stringify(body), JOIN_FRAME_BYTES_MAX);
    try {
      if (!this.#stream.send(frame)) {
        await this.#stream.onDrain({ signal: AbortSignal.timeout(JOIN_CONVERSATION_MS_MAX) });
      }
    } catch {
      throw new AppError("peer_unreachable", { peer: this.remote });
    }
  }

  async receive(options: { readonly timeoutMs: number; readonly signal?: AbortSignal }): Promise<Wire> {
    const peer = this.remote;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const giveUp = (): void => reject(new AppError("peer_timeout", { peer }));
    const timer = setTimeout(giveUp, options.timeoutMs);
    timer.unref();
    options.signal?.addEventListener("abort", giveUp, { once: true });
    if (options.signal?.aborted === true) giveUp();
    this.#reader = resolve;
    if (this.#unread.length > 0 || this.#ended) resolve();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", giveUp);
      this.#reader = null;
    }
    const next = this.#unread.shift();
    if (next === undefined) throw new AppError("peer_unreachable", { peer });
    return next;
  }

  /** Closes the stream and its connection on both sides, after what was sent has left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    const signal = AbortSignal.timeout(CLOSE_MS_MAX);
    try {
      await this.#stream.close({ signal });
      await this.#connection.close({ signal });
    } catch (error) {
      this.#connection.abort(error instanceof Error ? error : new Error("close failed"));
    }
  }

  #take(value: Wire): void {
    if (this.#unread.length >= UNREAD_MAX) throw new Error("too much at once");
    this.#unread.push(value);
    this.#reader?.();
  }

  #end(): void {
    this.#ended = true;
    this.#reader?.();
  }
}
