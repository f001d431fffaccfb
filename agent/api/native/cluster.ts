import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import type { Commands, Queries } from "#agent/api/ports.ts";
import { writeContext } from "#agent/api/wire.ts";
import { Cluster, ClusterPatch } from "#shared/contract/native.ts";
import { AppError } from "#shared/errors/app-error.ts";

import { READ_SETTINGS, WRITE } from "./gates.ts";

/** The cluster itself: what it is called, and what an administrator may tune. */
export const clusterRoutes: FastifyPluginAsyncTypebox<{ commands: Commands; queries: Queries }> = async (
  app,
  { commands, queries },
) => {
  const read = { schema: { response: { 200: Cluster } }, config: READ_SETTINGS };
  app.get("/cluster", read, async () => toCluster(queries));

  const change = { schema: { body: ClusterPatch, response: { 200: Cluster } }, config: WRITE };
  app.patch("/cluster", change, async (request) => {
    const { settings = {} } = request.body;
    await commands.submit(
      { type: "cluster.configure", ...settings },
      writeContext(request, { topic: "cluster", id: "" }),
    );
    return toCluster(queries);
  });
};

function toCluster({ registry: { cluster } }: Queries): Cluster {
  if (cluster === null) throw new AppError("not_in_cluster", {});
  const { id, name, rackAware, createdAt, incarnation, recoveredAt, settings } = cluster;
  return {
    id,
    name,
    rack_aware: rackAware,
    created_at_ms: createdAt,
    incarnation,
    recovered_at_ms: recoveredAt,
    settings: {
      candidate_pool_size: settings.candidatePoolSize,
      failed_after_ms: settings.failedAfterMs,
      repair_policy: settings.repairPolicy,
    },
  };
}
