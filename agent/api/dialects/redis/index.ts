import type { FastifyPluginAsync } from "fastify";

import type { Commands, Queries } from "#agent/api/ports.ts";
import { registerErrorForm } from "#agent/api/wire.ts";

import { bootstrapRoutes } from "./bootstrap.ts";
import { toRedisError } from "./errors.ts";

/** The bootstrap API of seed 003, under `/v1` and, as its examples have it, without: docs/api/redis.md. */
export const redisDialect: FastifyPluginAsync<{ commands: Commands; queries: Queries }> = async (
  app,
  deps,
) => {
  // Scripts take 503 for "not a member yet" and 401 for "the cluster is up": both come before 404.
  registerErrorForm(app, toRedisError, {
    paths: ["/v1", "/bootstrap"],
    unknown: { before: "member", auth: "read", needs: "nothing" },
  });
  await app.register(bootstrapRoutes, deps);
};
