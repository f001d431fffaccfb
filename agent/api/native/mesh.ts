import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import type { Queries } from "#agent/api/ports.ts";
import { MeshContact } from "#shared/contract/native.ts";
import { MESH_PROTOCOL_VERSION } from "#shared/lib/version.ts";

import { OPEN } from "./gates.ts";

/** Who answers here on the mesh: a joiner knows only an API address, and asks before it has any credentials proved. */
export const meshRoutes: FastifyPluginAsyncTypebox<{
  queries: Queries;
  incarnation: () => number | null;
}> = async (app, { queries, incarnation }) => {
  app.get("/mesh", { schema: { response: { 200: MeshContact } }, config: OPEN }, async () => {
    // Halfway through its own join an agent knows the cluster already, but lets nobody in.
    const member = queries.bootstrap.state.name === "completed";
    return {
      peer_id: queries.agent.peer,
      mesh_addrs: [...queries.agent.meshAddrs],
      cluster_id: member ? (queries.registry.cluster?.id ?? null) : null,
      incarnation: member ? incarnation() : null,
      software_version: queries.agent.softwareVersion,
      protocol: MESH_PROTOCOL_VERSION,
    };
  });
};
