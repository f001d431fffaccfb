import type { FastifyPluginAsync } from "fastify";

import type { Commands, Queries } from "#agent/api/ports.ts";
import { registerErrorForm } from "#agent/api/wire.ts";

import { toOrchestratorError } from "./errors.ts";
import { READ } from "./gates.ts";
import { nodeRoutes } from "./nodes.ts";
import { zoneRoutes } from "./zones.ts";

/** The orchestrator's API, seed 000, everything under `/api/v1`: what is covered is in docs/api/orchestrator.md. */
export const orchestratorDialect: FastifyPluginAsync<{ commands: Commands; queries: Queries }> = async (
  app,
  { commands, queries },
) => {
  registerErrorForm(app, toOrchestratorError, { paths: ["/api/v1"], unknown: READ.gate });
  await app.register(zoneRoutes, { commands, queries });
  await app.register(nodeRoutes, { commands, queries });
};
