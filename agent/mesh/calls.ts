import type { Wire } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Lane } from "./lane.ts";
import type { Ticket } from "./outbox.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { MESH_REQUESTS_MAX } from "#shared/lib/limits.ts";
import { readRefusal } from "./wire.ts";

interface Call {
  readonly resolve: (body: Wire) => void;
  readonly reject: (reason: unknown) => void;
  readonly lane: Lane;
  readonly ticket: Ticket;
}

/**
 * Requests over one link that wait for their answers. A call ends once: with the answer, at its deadline, when its caller
 * gives up (with its signal's reason), or with the link. Whether it may have reached the peer is told apart: peer_unreachable says certainly not.
 */
export class Calls {
  readonly #peer: MemberId;
  readonly #calls = new Map<number, Call>();
  #lastId = 0;
  #closed = false;

  constructor(options: { readonly peer: MemberId }) {
    this.#peer = options.peer;
  }

  /** As Transport.request, over this lane. */
  async start(
    lane: Lane,
    method: string,
    body: Wire,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Wire> {
    const { signal, timeoutMs } = options;
    const peer = this.#peer;
    signal?.throwIfAborted();
    if (this.#closed || this.#calls.size >= MESH_REQUESTS_MAX) {
      throw new AppError("peer_unreachable", { peer });
    }
    const id = (this.#lastId += 1);
    const ticket = lane.send({ q: id, m: method, b: body });
    if (ticket === null) throw new AppError("peer_unreachable", { peer });
    const answer = Promise.withResolvers<Wire>();
    this.#calls.set(id, { resolve: answer.resolve, reject: answer.reject, lane, ticket });
    const timer = setTimeout(() => this.#giveUp(id), timeoutMs);
    timer.unref();
    const aborted = (): void => this.#giveUp(id, signal?.reason);
    signal?.addEventListener("abort", aborted, { once: true });
    try {
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
      this.#calls.delete(id);
    }
  }

  /** The peer answered. An answer that nobody waits for any more is dropped. */
  settle(
    answer: { readonly a: number; readonly b: Wire } | { readonly a: number; readonly e: object },
  ): void {
    const call = this.#calls.get(answer.a);
    if (call === undefined) return;
    this.#calls.delete(answer.a);
    if ("e" in answer) call.reject(readRefusal(this.#peer, answer.e));
    else call.resolve(answer.b);
  }

  /** The link is gone. Call before the lanes forget what they have not sent. */
  close(): void {
    this.#closed = true;
    for (const call of this.#calls.values()) call.reject(this.#failure(call));
    this.#calls.clear();
  }

  #giveUp(id: number, reason?: unknown): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    if (!call.lane.takeBack(call.ticket)) call.lane.send({ c: id });
    call.reject(reason ?? this.#failure(call));
  }

  #failure({ ticket }: Call): AppError {
    return new AppError(ticket.sent ? "peer_timeout" : "peer_unreachable", { peer: this.#peer });
  }
}
