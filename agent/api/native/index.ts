import type { FastifyPluginAsync } from "fastify";

import type { ApiDeps } from "#agent/api/ports.ts";
import { registerErrorForm } from "#agent/api/wire.ts";
import type { Metrics } from "#agent/ports/metrics.ts";

import { toNativeError } from "./errors.ts";
import { backupRoutes } from "./backup.ts";
import { clusterRoutes } from "./cluster.ts";
import { eventRoutes } from "./events.ts";
import { healthRoutes } from "./health.ts";
import { hostRoutes } from "./hosts.ts";
import { leaderRoutes } from "./leader.ts";
import { leaveRoutes } from "./leave.ts";
import { memberRoutes } from "./members.ts";
import { meshRoutes } from "./mesh.ts";
import { metricsRoutes } from "./metrics.ts";
import { statusRoutes } from "./status.ts";
import { tokenRoutes } from "./tokens.ts";

const PREFIX = "/muster/v1";

/** What the native API needs beside what every dialect gets. */
export interface NativeDeps extends ApiDeps {
  /** The cluster's incarnation as this agent has it on disk; null before it is in a cluster. */
  readonly incarnation: () => number | null;
  readonly metrics: Metrics;
  /** This agent's copy of the registry, as of now, as a backup. Throws not_in_cluster. */
  readonly packBackup: () => Buffer;
}

/** muster's own API, for the CLI, probes and other agents: docs/api/native.md. */
export const nativeApi: FastifyPluginAsync<NativeDeps> = async (app, deps) => {
  registerErrorForm(app, toNativeError, { paths: [PREFIX] });
  const options = { ...deps, prefix: PREFIX };
  await app.register(healthRoutes, options);
  await app.register(meshRoutes, options);
  await app.register(memberRoutes, options);
  await app.register(clusterRoutes, options);
  await app.register(leaderRoutes, options);
  await app.register(leaveRoutes, options);
  await app.register(statusRoutes, options);
  await app.register(hostRoutes, options);
  await app.register(eventRoutes, options);
  await app.register(backupRoutes, options);
  await app.register(tokenRoutes, options);
  await app.register(metricsRoutes, options);
};
