import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import type { Metrics } from "#agent/ports/metrics.ts";

import { READ } from "./gates.ts";

/** GET metrics: this agent in numbers, for Prometheus and whoever reads its text format. */
export const metricsRoutes: FastifyPluginAsyncTypebox<{ metrics: Metrics }> = async (app, { metrics }) => {
  app.get("/metrics", { config: { ...READ, routine: "probe" } }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.render()),
  );
};
