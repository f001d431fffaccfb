import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type, type Static } from "typebox";

import type { Queries } from "#agent/api/ports.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";
import type { Member } from "#shared/registry/state.ts";

import type { RedisDeps } from "./deps.ts";
import { READ_NODES } from "./gates.ts";
import { factsOf } from "./host-facts.ts";
import { livenessOf, NODE_STATUS } from "./liveness.ts";
import { memberOf, NodePath } from "./nodes.ts";
import { given } from "./translate.ts";

/** How a node is just now. Sizes in bytes; what is not known is left out. */
export const NodeStatusView = Type.Object({
  hostname: Type.String(),
  addr: Type.String(),
  /** `master` is who leads the cluster. */
  role: Type.Enum(["master", "slave"]),
  node_status: NODE_STATUS,
  software_version: Type.String(),
  cores: Type.Optional(Type.Integer()),
  total_memory: Type.Optional(Type.Number()),
  free_ram: Type.Optional(Type.Number()),
  rack_id: Type.String(),
  // There are no databases here, so there are no shards of any.
  master_shards: Type.Array(Type.Integer()),
  slave_shards: Type.Array(Type.Integer()),
  node_overbooking_depth: Type.Integer(),
});

export const nodeStatusRoutes: FastifyPluginAsyncTypebox<RedisDeps> = async (app, { queries }) => {
  const all = { response: { 200: Type.Record(Type.String(), NodeStatusView) } };
  app.get("/v1/nodes/status", { schema: all, config: READ_NODES }, async () =>
    Object.fromEntries(
      membersByUid(queries.registry).map((member) => [String(member.uid), toNodeStatus(queries, member)]),
    ),
  );

  const one = { params: NodePath, response: { 200: NodeStatusView } };
  app.get("/v1/nodes/:uid/status", { schema: one, config: READ_NODES }, async ({ params }) =>
    toNodeStatus(queries, memberOf(queries, params.uid)),
  );
};

function toNodeStatus(queries: Queries, member: Member): Static<typeof NodeStatusView> {
  const facts = factsOf(queries, member.peer);
  return {
    hostname: member.name,
    addr: member.addr,
    role: queries.status().leader === member.peer ? "master" : "slave",
    node_status: livenessOf(queries, member),
    software_version: member.software_version,
    ...given({
      cores: facts?.static.cpu.cores,
      total_memory: facts?.static.memory_total ?? member.memory_bytes,
      free_ram: facts?.live.memory_free,
    }),
    rack_id: member.rack_id ?? "",
    master_shards: [],
    slave_shards: [],
    node_overbooking_depth: 0,
  };
}
