import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";

import type { History } from "#agent/api/history.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Registry } from "#agent/ports/registry.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import { EVENT_STREAMS_MAX } from "#shared/lib/limits.ts";

import { EventStream } from "./event-stream.ts";
import { ChangeFeed } from "./feed.ts";
import { READ_CLUSTER } from "./gates.ts";

const KEEP_ALIVE_MS = 15_000;

/** An index, or the id of an event: an index stamped with its history. */
const PositionText = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: String.raw`^([\x21-\x7e]+-)?\d{1,15}$`,
});
const Query = Type.Object({ from: Type.Optional(PositionText) });
/** Sent by an EventSource that comes back. */
const Headers = Type.Object({ "last-event-id": Type.Optional(PositionText) });

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
    reply.hijack();
    const out = reply.raw;
    out.writeHead(200, reply.getHeaders() as Record<string, string>);
    const stream = new EventStream({ feed, out, clock, history: app.history });
    streams.add(stream);
    const closed = new AbortController();
    out.on("close", () => {
      streams.delete(stream);
      stream.end();
      closed.abort();
    });
    out.on("error", () => out.destroy());
    stream.open();
    void begin(stream, asked === null ? "now" : positionOf(asked, app.history), closed.signal);
  });

  /** A reader may come from an agent that is ahead of this one: it goes on here as soon as it misses nothing and sees nothing twice. */
  async function begin(stream: EventStream, from: Position | "now", signal: AbortSignal): Promise<void> {
    if (from === "now" || from === "unknown") return stream.begin(from);
    const timeoutMs = from.certain ? CATCH_UP_MS_MAX : AHEAD_MS_MAX;
    try {
      await registry.waitForIndex(from.index, { timeoutMs, signal });
    } catch (error) {
      // A reader that is closed comes back with the position that it has.
      if (from.certain || !isKind(error, "index_not_reached")) return stream.end();
      return stream.begin("unknown");
    }
    stream.begin(from.index);
  }
};

/** Longest a reader whose position is certain waits here for this agent to get there. Milliseconds. */
const CATCH_UP_MS_MAX = 60_000;
/** Longest a bare index, which may be of another history, may be ahead of this agent. Milliseconds. */
const AHEAD_MS_MAX = 2000;

/** What a reader has. Certain: it says in which history. `unknown`: something of another history than this agent's. */
type Position = { readonly index: number; readonly certain: boolean } | "unknown";

function positionOf(text: string, history: History): Position {
  if (/^\d+$/.test(text)) return { index: Number(text), certain: false };
  const index = history.indexOf(text);
  return index === null ? "unknown" : { index, certain: true };
}
