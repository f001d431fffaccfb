import type { FastifyInstance } from "fastify";

import { hangUpSignal } from "#agent/api/hang-up.ts";
import type { Queries } from "#agent/api/ports.ts";
import { parseWait } from "#agent/api/read-wishes.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { BOOTSTRAP_WAIT_MS_MAX, BOOTSTRAP_WAITERS_MAX } from "#shared/lib/limits.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /**
     * The state of the bootstrap in this route's own words: with `wait=30s` it answers once the word is another one, or the time is
     * over; with `state=WORD` at once unless the word is that one, so that no change between two calls is missed.
     */
    waitsFor?: (state: BootstrapState) => string;
  }
}

interface Deps {
  readonly queries: Pick<Queries, "bootstrap">;
  readonly clock: Clock;
}

/**
 * Makes routes that tell the bootstrap's state wait for the next one. To be called before the hooks that say how fresh an answer is.
 * Beside `min_index`, `wait` is about that.
 */
export function registerBootstrapWaits(app: FastifyInstance, deps: Deps): void {
  const waits = new BootstrapWaits(deps);
  app.addHook("preClose", async () => waits[Symbol.dispose]());
  app.addHook("preHandler", (request, _reply, done) => {
    const { waitsFor } = request.routeOptions.config;
    const { wait, state } = request.query as { readonly wait?: string; readonly state?: string };
    if (waitsFor === undefined || wait === undefined) return done();
    const timeoutMs = Math.min(parseWait(wait), BOOTSTRAP_WAIT_MS_MAX);
    const known = state ?? waitsFor(deps.queries.bootstrap.state);
    request.waited = true;
    return waits.untilNot(known, waitsFor, { timeoutMs, signal: hangUpSignal(request) });
  });
}

/** Callers that wait for another state of the bootstrap. */
class BootstrapWaits implements Disposable {
  readonly #deps: Deps;
  readonly #releases = new Set<() => void>();
  #closed = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * Resolves once the state's word is not `known`, at the end of the time, or when the server closes: the caller then answers with what
   * is there. Rejects with overloaded, or with the signal's reason.
   */
  async untilNot(
    known: string,
    wordOf: (state: BootstrapState) => string,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<void> {
    const { bootstrap } = this.#deps.queries;
    if (this.#closed || wordOf(bootstrap.state) !== known) return;
    if (this.#releases.size >= BOOTSTRAP_WAITERS_MAX) {
      throw new AppError("overloaded", { what: "the number of callers that wait for the bootstrap" });
    }
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const over = new AbortController();
    using _ = bootstrap.onChange((state) => {
      if (wordOf(state) !== known) release();
    });
    this.#releases.add(release);
    try {
      const late = this.#deps.clock.sleep(timeoutMs, AbortSignal.any([signal, over.signal]));
      await Promise.race([released, late]);
    } finally {
      this.#releases.delete(release);
      over.abort();
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const release of this.#releases) release();
  }
}
