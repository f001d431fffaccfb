import type { FastifyInstance, FastifyRequest } from "fastify";

import { hangUpSignal } from "#agent/api/hang-up.ts";
import type { Queries } from "#agent/api/ports.ts";
import type { Registry } from "#agent/ports/registry.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** Longest a read waits to prove that nothing newer was committed before it. Milliseconds. */
const BARRIER_MS = 5000;
const WAIT_MS_DEFAULT = 5000;
/** Longest a caller may wait for an index. Milliseconds. */
const WAIT_MS_MAX = 10 * 60_000;

declare module "fastify" {
  interface FastifyRequest {
    /** Index of the registry that this read shows at least; null until the gate has let it in, and for writes. */
    readIndex: number | null;
  }
}

interface Deps {
  readonly registry: Registry;
  readonly queries: Queries;
}

/**
 * What every GET and HEAD of every dialect understands: `consistency=linearizable|default|stale`, `min_index=N` with
 * `wait=5s|500ms`, and the headers that say how fresh an answer is. The parameters are taken out of the query before a
 * dialect validates its own.
 */
export function registerReads(app: FastifyInstance, deps: Deps): void {
  app.decorateRequest("readIndex", null);

  app.addHook("preValidation", (request, _reply, done) => {
    if (!isRead(request) || request.is404) return done();
    request.readIndex = deps.registry.state.index;
    const freshness = takeFreshness(request.query as Record<string, unknown>);
    if (freshness === null) return done();
    return awaitFreshness(deps.registry, freshness, request);
  });

  app.addHook("onSend", (request, reply, _payload, done) => {
    if (request.readIndex !== null) {
      // From before the handler looked: the body shows at least this.
      reply.header("x-muster-index", request.readIndex);
      const { leader, ageMs } = deps.registry.status();
      if (leader !== null) reply.header("x-muster-leader", leaderName(deps.queries, leader));
      if (ageMs !== null) reply.header("x-muster-age-ms", Math.ceil(ageMs));
    } else if (!isRead(request) && request.principal !== null) {
      // A write is answered once it is applied here: a read with this min_index sees it everywhere.
      reply.header("x-muster-index", deps.registry.state.index);
    }
    done();
  });
}

interface Freshness {
  readonly linearizable: boolean;
  readonly minIndex: number;
  readonly waitMs: number;
}

async function awaitFreshness(registry: Registry, wanted: Freshness, request: FastifyRequest): Promise<void> {
  const signal = hangUpSignal(request);
  if (wanted.linearizable) await registry.readBarrier({ timeoutMs: BARRIER_MS, signal });
  if (wanted.minIndex > registry.state.index) {
    await registry.waitForIndex(wanted.minIndex, { timeoutMs: wanted.waitMs, signal });
  }
  request.readIndex = registry.state.index;
}

/** Reads and removes the parameters; null when the read need not wait for anything. */
function takeFreshness(query: Record<string, unknown>): Freshness | null {
  const consistency = take(query, "consistency") ?? "default";
  if (consistency !== "linearizable" && consistency !== "default" && consistency !== "stale") {
    throw bad("consistency", "must be one of linearizable, default, stale");
  }
  const minIndex = take(query, "min_index");
  if (minIndex === undefined) {
    return consistency === "linearizable" ? { linearizable: true, minIndex: 0, waitMs: 0 } : null;
  }
  if (!/^\d{1,15}$/.test(minIndex)) throw bad("min_index", "must be a whole number, 0 or more");
  // Without min_index, `wait` is left alone: dialects have parameters of that name.
  const wait = take(query, "wait");
  return {
    linearizable: consistency === "linearizable",
    minIndex: Number(minIndex),
    waitMs: wait === undefined ? WAIT_MS_DEFAULT : parseWait(wait),
  };
}

function take(query: Record<string, unknown>, name: string): string | undefined {
  const value = query[name];
  if (value === undefined) return undefined;
  if (typeof value !== "string") throw bad(name, "must be given once");
  delete query[name];
  return value;
}

function parseWait(text: string): number {
  const [, digits, unit] = /^(\d{1,7})(ms|s|m)$/.exec(text) ?? [];
  const ms = Number(digits) * (unit === "ms" ? 1 : unit === "s" ? 1000 : 60_000);
  if (Number.isNaN(ms) || ms > WAIT_MS_MAX) {
    throw bad("wait", "must be a duration such as 500ms, 5s or 1m, at most 10m");
  }
  return ms;
}

function bad(field: string, rule: string): AppError {
  return new AppError("bad_request", { field, rule });
}

function isRead({ method }: FastifyRequest): boolean {
  return method === "GET" || method === "HEAD";
}

/** The leader's host name where it can stand in a header, else its peer id. */
function leaderName(queries: Queries, leader: MemberId): string {
  const name = queries.registry.members.get(leader)?.name;
  return name !== undefined && /^[\x21-\x7e]+$/.test(name) ? name : leader;
}
