import type { FastifyPluginAsync } from "fastify";

import { registerErrorForm } from "#agent/api/wire.ts";

import { bootstrapRoutes } from "./bootstrap.ts";
import { checkRoutes } from "./checks.ts";
import { clusterRoutes } from "./cluster.ts";
import type { RedisDeps } from "./deps.ts";
import { toRedisError } from "./errors.ts";
import { READ } from "./gates.ts";
import { jsonSchemaRoutes } from "./json-schema.ts";
import { licenseRoutes } from "./license.ts";
import { nodeStatusRoutes } from "./node-status.ts";
import { nodeRoutes } from "./nodes.ts";
import { policyRoutes } from "./policy.ts";
import { userRoutes } from "./users.ts";
import { validateRoutes } from "./validate.ts";

/**
 * The bootstrap API of seed 003, under `/v1` and, as its examples have it, without; and what its clients call next:
 * docs/api/redis.md.
 */
export const redisDialect: FastifyPluginAsync<RedisDeps> = async (app, deps) => {
  // Scripts take 503 for "not a member yet" and 401 for "the cluster is up": both come before 404.
  registerErrorForm(app, toRedisError, { paths: ["/v1", "/bootstrap"], unknown: READ.gate });
  await app.register(bootstrapRoutes, deps);
  await app.register(validateRoutes, deps);
  await app.register(nodeRoutes, deps);
  await app.register(nodeStatusRoutes, deps);
  await app.register(checkRoutes, deps);
  await app.register(clusterRoutes, deps);
  await app.register(policyRoutes, deps);
  await app.register(licenseRoutes, deps);
  await app.register(userRoutes, deps);
  await app.register(jsonSchemaRoutes, deps);
};
