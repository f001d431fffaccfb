import type { FastifyInstance } from "fastify";

import type { Metrics } from "#agent/ports/metrics.ts";

/** Methods that a caller may make up are one, so that nobody can make the numbers grow without bound. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Counts every answered request. How long a stream lasted, or a read that was asked to wait, says nothing and is left out. */
export function registerMeasure(app: FastifyInstance, metrics: Metrics): void {
  app.addHook("onResponse", (request, reply, done) => {
    const { dialect = "none", routine } = request.routeOptions.config;
    if (routine !== "stream" && !request.waited) {
      const method = METHODS.has(request.method) ? request.method : "other";
      const seconds = reply.elapsedTime / 1000;
      metrics.answered({ dialect, method, status: reply.statusCode, seconds });
    }
    done();
  });
}
