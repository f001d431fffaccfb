import type { Stream } from "@libp2p/interface";
import type { Envelope } from "./wire.ts";
import type { Ticket } from "./outbox.ts";
import { MESH_FRAME_BYTES_MAX, MESH_SEND_BUFFER_BYTES_MAX } from "#shared/lib/limits.ts";
import { sparingOfWindowNews } from "./fewer-packets.ts";
import { encodeFrame, FrameDecoder, FrameViolation, heartbeatFrame } from "./frames.ts";
import { Outbox } from "./outbox.ts";
import { readEnvelope } from "./wire.ts";

const HEARTBEAT = heartbeatFrame();

interface LaneEvents {
  readonly onEnvelope: (envelope: Envelope) => void;
  /** Any bytes have come, a heartbeat included. */
  readonly onHeard: () => void;
  /** The stream has ended, or the peer broke the protocol on it. Called at most once. */
  readonly onEnd: (why: { readonly violation: string | null }) => void;
}

/** One stream of a link: envelopes in both directions. */
export class Lane {
  readonly #stream: Stream;
  readonly #events: LaneEvents;
  readonly #decoder: FrameDecoder;
  readonly #outbox: Outbox;
  #ended = false;

  constructor(deps: { readonly stream: Stream; readonly events: LaneEvents }) {
    this.#stream = deps.stream;
    sparingOfWindowNews(deps.stream);
    this.#events = deps.events;
    this.#decoder = new FrameDecoder(
      { onValue: (value) => this.#receive(value) },
      { bytesMax: MESH_FRAME_BYTES_MAX },
    );
    this.#outbox = new Outbox({ stream: deps.stream }, { bytesMax: MESH_SEND_BUFFER_BYTES_MAX });
    this.#stream.addEventListener("close", () => this.#end(null));
    this.#stream.addEventListener("remoteCloseWrite", () => this.#end(null));
  }

  /** Starts to read. What came before was kept by the stream. */
  open(): void {
    this.#stream.addEventListener("message", ({ data }) => {
      if (this.#ended) return;
      this.#events.onHeard();
      try {
        this.#decoder.push(data);
      } catch (error) {
        if (!(error instanceof FrameViolation)) throw error;
        this.#end(error.message);
      }
    });
  }

  /** Reads no further until `resume`; what was being read is still handed over, the rest waits in the stream. */
  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#ended) this.#stream.resume();
  }

  /** Null: it was dropped, because the buffer is full or the stream is gone. Throws too_large. */
  send(envelope: Envelope): Ticket | null {
    return this.#outbox.push(encodeFrame(JSON.stringify(envelope), MESH_FRAME_BYTES_MAX));
  }

  takeBack(ticket: Ticket): boolean {
    return this.#outbox.takeBack(ticket);
  }

  /** Keeps the stream from looking idle; needless while other data waits. */
  beat(): void {
    if (this.#outbox.waitingBytes === 0) this.#outbox.push(HEARTBEAT);
  }

  flush(): void {
    this.#outbox.flush();
  }

  /** Nothing is read or sent any more; what was queued stays unsent. The stream ends with its connection. */
  close(): void {
    this.#ended = true;
    this.#outbox.close();
  }

  #receive(value: unknown): void {
    if (this.#ended) return;
    const envelope = readEnvelope(value);
    if (envelope === null) throw new FrameViolation("the frame is none of the known envelopes");
    this.#events.onEnvelope(envelope);
  }

  #end(violation: string | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#events.onEnd({ violation });
    this.#outbox.close();
  }
}
