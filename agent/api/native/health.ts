import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import type { Queries } from "#agent/api/ports.ts";
import { Health } from "#shared/contract/native.ts";

import { PROBE } from "./gates.ts";

const live = { response: { 200: Health } };
const ready = { response: { 200: Health, 503: Health } };

/** For probes. Live: the process answers. Ready: send it requests. */
export const healthRoutes: FastifyPluginAsyncTypebox<{ queries: Queries }> = async (app, { queries }) => {
  app.get("/health/live", { schema: live, config: PROBE }, async () => ({
    status: "live" as const,
    reason: null,
  }));

  app.get("/health/ready", { schema: ready, config: PROBE }, async (_request, reply) => {
    const reason = notReady(queries);
    if (reason === null) return { status: "ready" as const, reason };
    return reply.code(503).header("retry-after", "1").send({ status: "not_ready", reason });
  });
};

/**
 * Why this agent should get no requests now; null when it should. An agent without a cluster is ready: it waits for its
 * bootstrap. A member is ready once it holds a registry that is as new as a leader knew it, be it some time ago.
 */
function notReady(queries: Queries): string | null {
  const { state } = queries.bootstrap;
  const { halted, ageMs } = queries.status();
  if (halted !== null) return halted;
  if (state.name === "initiated" || state.name === "running") return "the bootstrap is under way";
  if (state.name !== "completed") return null;
  if (queries.registry.cluster === null || ageMs === null) return "the registry has not caught up yet";
  return null;
}
