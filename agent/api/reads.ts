import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

import { ChangeWaiters } from "#agent/api/change-waiters.ts";
import { hangUpSignal } from "#agent/api/hang-up.ts";
import type { Queries } from "#agent/api/ports.ts";
import { demandMatch, entityTag, isKnown } from "#agent/api/preconditions.ts";
import { takeWishes, type Wishes } from "#agent/api/read-wishes.ts";
import { lastChange, subjectOf, versionShown, type Subject } from "#agent/api/shown.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Registry } from "#agent/ports/registry.ts";
import { isMember } from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { INDEX_WAITERS_MAX } from "#shared/lib/limits.ts";

/** Longest a read waits to prove that nothing newer was committed before it. Milliseconds. */
const BARRIER_MS = 5000;
/** The longest waits differ by up to this part of themselves, so that those who came together do not come back together. */
const JITTER = 1 / 16;

declare module "fastify" {
  interface FastifyRequest {
    /** Index of the registry that this read shows at least; null until the gate has let it in, and for writes. */
    readIndex: number | null;
    /** ETag of what this read shows; null where there is none. */
    etag: string | null;
    /** It has waited because its caller wished so: that it took long is no news. */
    waited: boolean;
  }
}

interface Deps {
  readonly registry: Registry;
  readonly queries: Queries;
  readonly clock: Clock;
}

/**
 * What every GET and HEAD of every dialect understands: the wishes of read-wishes.ts, If-None-Match and If-Match, and the
 * headers that say how fresh an answer is and which version it shows.
 *
 * Handlers of reads look at the registry at once, before their first `await`: it is then as of `readIndex` and `etag`, which are
 * taken in the same turn just before.
 */
export function registerReads(app: FastifyInstance, deps: Deps): void {
  const { registry } = deps;
  const waiters = new ChangeWaiters(deps);
  const reads = new Reads({ ...deps, waiters });
  waiters.start();
  app.addHook("preClose", async () => waiters[Symbol.dispose]());
  app.decorateRequest("readIndex", null);
  app.decorateRequest("etag", null);
  app.decorateRequest("waited", false);

  app.addHook("preValidation", (request, _reply, done) => {
    if (!isRead(request) || request.is404) return done();
    request.readIndex = registry.state.index;
    const subject = subjectOf(request);
    const wishes = takeWishes(request.query as Record<string, unknown>, { blocks: subject !== null });
    if (wishes === null) return done();
    return reads.fulfil(wishes, subject, request);
  });

  app.addHook("preHandler", (request, reply, done) => {
    if (!isRead(request) || request.is404) return done();
    request.readIndex = registry.state.index;
    const subject = subjectOf(request);
    const version = subject === null ? null : versionShown(registry.state, subject);
    const tag = entityTag(app.history, version);
    request.etag = tag;
    if (tag === null) return done();
    demandMatch(request, tag);
    if (!isKnown(request, tag)) return done();
    void reply.code(304).send();
  });

  app.addHook("onSend", (request, reply, _payload, done) => {
    if (request.readIndex !== null) sayFreshness(request, reply, deps);
    else if (!isRead(request) && request.principal !== null) {
      // A write is answered once it is applied here: a read with this min_index sees it everywhere.
      reply.header("x-muster-index", registry.state.index);
    }
    done();
  });
}

function sayFreshness(request: FastifyRequest, reply: FastifyReply, { registry, queries }: Deps): void {
  // From before the handler looked: the body shows at least this.
  reply.header("x-muster-index", request.readIndex);
  const { leader, ageMs } = registry.status();
  if (leader !== null) reply.header("x-muster-leader", leaderName(queries, leader));
  if (ageMs !== null) reply.header("x-muster-age-ms", Math.ceil(ageMs));
  if (request.etag !== null && reply.statusCode < 400) reply.header("etag", request.etag);
}

/** Makes reads wait for what they wish. */
class Reads {
  readonly #deps: Deps & { readonly waiters: ChangeWaiters };
  /** Callers that wait for an index or for a change. */
  #waiting = 0;

  constructor(deps: Deps & { readonly waiters: ChangeWaiters }) {
    this.#deps = deps;
  }

  /** Rejects with quorum_lost, index_not_reached, overloaded, not_in_cluster, or because the caller hung up. */
  async fulfil(wishes: Wishes, subject: Subject | null, request: FastifyRequest): Promise<void> {
    const { registry, waiters, clock } = this.#deps;
    const signal = hangUpSignal(request);
    const startMs = clock.monotonicMs();
    if (wishes.linearizable) await registry.readBarrier({ timeoutMs: BARRIER_MS, signal });
    const { minIndex, changedAfter } = wishes;
    if (minIndex !== null && minIndex.index > registry.state.index) {
      const options = { timeoutMs: minIndex.waitMs, signal };
      await this.#asWaiter(request, () => registry.waitForIndex(minIndex.index, options));
    }
    if (changedAfter !== null && subject !== null && this.#unchanged(subject, changedAfter.index)) {
      const waitMs = changedAfter.waitMs * (1 + Math.random() * JITTER);
      const timeoutMs = waitMs - (clock.monotonicMs() - startMs);
      const options = { timeoutMs, signal };
      await this.#asWaiter(request, () => waiters.wait(subject, changedAfter.index, options));
      this.#demandMember(request);
    }
    request.readIndex = registry.state.index;
  }

  #unchanged(subject: Subject, after: number): boolean {
    return lastChange(this.#deps.registry.state, subject) <= after;
  }

  async #asWaiter(request: FastifyRequest, wait: () => Promise<unknown>): Promise<void> {
    if (this.#waiting >= INDEX_WAITERS_MAX) {
      throw new AppError("overloaded", { what: "the number of reads that wait" });
    }
    request.waited = true;
    this.#waiting += 1;
    try {
      await wait();
    } finally {
      this.#waiting -= 1;
    }
  }

  /** The agent may have left its cluster while the caller waited; what the gate found out is no longer so. */
  #demandMember({ routeOptions }: FastifyRequest): void {
    const { gate } = routeOptions.config;
    if (gate?.before === "member" && !isMember(this.#deps.queries.bootstrap.state)) {
      throw new AppError("not_in_cluster", {});
    }
  }
}

function isRead({ method }: FastifyRequest): boolean {
  return method === "GET" || method === "HEAD";
}

/** The leader's host name where it can stand in a header, else its peer id. */
function leaderName(queries: Queries, leader: MemberId): string {
  const name = queries.registry.members.get(leader)?.name;
  return name !== undefined && /^[\x21-\x7e]+$/.test(name) ? name : leader;
}
