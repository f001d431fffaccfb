import { randomUUID } from "node:crypto";
import type { Log } from "#agent/ports/log.ts";
import type { Wire } from "#agent/ports/transport.ts";
import type { Refusal } from "#shared/errors/kinds.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { assert } from "#shared/lib/assert.ts";

type MessageHandler = (from: MemberId, body: Wire) => void;
type RequestHandler = (from: MemberId, body: Wire, signal: AbortSignal) => Promise<Wire>;

/** Who handles which topic and which method. One for the whole agent: handlers do not know links. */
export class Handlers {
  readonly #log: Log;
  readonly #self: MemberId;
  readonly #topics = new Map<string, MessageHandler>();
  readonly #methods = new Map<string, RequestHandler>();

  constructor(deps: { readonly log: Log }, options: { readonly self: MemberId }) {
    this.#log = deps.log;
    this.#self = options.self;
  }

  onMessage(topic: string, handler: MessageHandler): void {
    assert(!this.#topics.has(topic), `one handler per topic: ${topic}`);
    this.#topics.set(topic, handler);
  }

  onRequest(method: string, handler: RequestHandler): void {
    assert(!this.#methods.has(method), `one handler per method: ${method}`);
    this.#methods.set(method, handler);
  }

  /** A topic that nobody handles is dropped: an older agent may be spoken to by a newer one. */
  deliver(from: MemberId, topic: string, body: Wire): void {
    const handler = this.#topics.get(topic);
    if (handler === undefined) {
      this.#log.debug({ peer: from, topic }, "message without a handler");
      return;
    }
    try {
      handler(from, body);
    } catch (error) {
      this.#log.error({ peer: from, topic, err: error }, "message handler failed");
    }
  }

  /** Never rejects: what the handler throws becomes a refusal. */
  async answer(
    from: MemberId,
    method: string,
    body: Wire,
    signal: AbortSignal,
  ): Promise<{ readonly b: Wire } | { readonly e: Refusal }> {
    const handler = this.#methods.get(method);
    if (handler === undefined) {
      const reason = `it does not know the method ${method}`;
      return { e: new AppError("peer_refused", { peer: this.#self, reason }).toRefusal() };
    }
    try {
      return { b: await handler(from, body, signal) };
    } catch (error) {
      if (error instanceof AppError) return { e: error.toRefusal() };
      const incident = randomUUID();
      this.#log.error({ peer: from, method, incident, err: error }, "request handler failed");
      return { e: new AppError("internal_error", { incident }).toRefusal() };
    }
  }
}
