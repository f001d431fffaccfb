import type { ServerResponse } from "node:http";

import type { FastifyInstance, FastifyRequest } from "fastify";

declare module "fastify" {
  interface FastifyRequest {
    /** Where this request's answer goes; null only outside a server that called registerHangUps. */
    answer: ServerResponse | null;
  }
}

/** To be called once, before any hook or route that waits on behalf of a caller. */
export function registerHangUps(app: FastifyInstance): void {
  app.decorateRequest("answer", null);
  app.addHook("onRequest", (request, reply, done) => {
    request.answer = reply.raw;
    done();
  });
}

/**
 * Fires when the caller hangs up before it has its answer. Fastify's own `request.signal` will not do: it fires as soon as
 * the body has been read, because Node then closes the incoming half.
 */
export function hangUpSignal({ answer }: FastifyRequest): AbortSignal {
  const controller = new AbortController();
  answer?.once("close", () => {
    if (!answer.writableFinished) controller.abort();
  });
  return controller.signal;
}
