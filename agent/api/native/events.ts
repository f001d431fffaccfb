import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";

import type { Clock } from "#agent/ports/clock.ts";
import type { Registry } from "#agent/ports/registry.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import { EVENT_STREAMS_MAX } from "#shared/lib/limits.ts";

import { EventStream } from "./event-stream.ts";
import { ChangeFeed } from "./feed.ts";
import { READ_CLUSTER } from "./gates.ts";

const KEEP_ALIVE_MS = 15_000;

const Query = Type.Object({
  from: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
});
/** Sent by an EventSource that comes back. */
const Headers = Type.Object({
  "last-event-id": Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
});

/** GET events: every change of the registry after an index (`from`, or Last-Event-ID), as it is applied here. */
export const eventRoutes: FastifyPluginAsyncTypebox<{ registry: Registry; clock: Clock }> = async (
  app,
  { registry, clock },
) => {
  const feed = new ChangeFeed({ registry });
  const streams = new Set<EventStream>();
  feed.start();
  const subscription = feed.onAdvance(() => {
    for (const stream of streams) stream.advance();
  });
  const keepAlive = clock.every(KEEP_ALIVE_MS, () => {
    for (const stream of streams) stream.keepAlive();
  });
  app.addHook("preClose", async () => {
    keepAlive[Symbol.dispose]();
    subscription[Symbol.dispose]();
    feed[Symbol.dispose]();
    for (const stream of streams) stream.end();
  });

  const schema = { querystring: Query, headers: Headers };
  app.get("/events", { schema, config: { ...READ_CLUSTER, routine: "stream" } }, async (request, reply) => {
    reply.type("text/event-stream");
    if (request.method === "HEAD") return reply.send();
    if (streams.size >= EVENT_STREAMS_MAX)
      throw new AppError("overloaded", { what: "the number of event streams" });
    const asked = request.headers["last-event-id"] ?? request.query.from ?? null;
    const after = asked === null ? null : await reached(registry, asked);
    reply.hijack();
    const out = reply.raw;
    out.writeHead(200, reply.getHeaders() as Record<string, string>);
    const stream = new EventStream({ feed, out, clock }, { after });
    streams.add(stream);
    out.on("close", () => {
      streams.delete(stream);
      stream.end();
    });
    out.on("error", () => out.destroy());
    stream.start();
  });
};

/** Longest a reader's index may be ahead of this agent, which may be catching up. Milliseconds. */
const AHEAD_MS_MAX = 2000;

/** The reader's index; 0, which is told `reset`, when it is of no history that this agent knows. */
async function reached(registry: Registry, index: number): Promise<number> {
  if (index <= registry.state.index) return index;
  try {
    await registry.waitForIndex(index, { timeoutMs: AHEAD_MS_MAX });
    return index;
  } catch (error) {
    if (isKind(error, "index_not_reached")) return 0;
    throw error;
  }
}
