import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type, type Static } from "typebox";

import type { Queries } from "#agent/api/ports.ts";
import { hasPlace, membersByUid } from "#shared/registry/queries/members.ts";
import type { Member } from "#shared/registry/state.ts";

import type { RedisDeps } from "./deps.ts";
import { READ, READ_NODES } from "./gates.ts";
import { knowsLeader, livenessOf } from "./liveness.ts";
import { memberOf, NodePath } from "./nodes.ts";

const Finding = { result: Type.Boolean(), error: Type.Optional(Type.String()) };
const NodeCheck = Type.Object({ node_uid: Type.Integer(), ...Finding });
/** Uids are texts here, as in the vendor's samples. */
const ClusterCheck = Type.Object({
  cluster_test_result: Type.Boolean(),
  nodes: Type.Array(Type.Object({ node_uid: Type.String(), ...Finding })),
  /** Ours: what is wrong with the cluster and with no node of it. */
  error: Type.Optional(Type.String()),
});
const MasterHealth = Type.Object({ status: Type.Enum(["active", "inactive"]) });

/** Whether nodes and the cluster are well, as this agent sees it. A script lets the next host join only while all are. */
export const checkRoutes: FastifyPluginAsyncTypebox<RedisDeps> = async (app, { queries }) => {
  const all = { response: { 200: Type.Array(NodeCheck) } };
  app.get("/v1/nodes/check", { schema: all, config: READ_NODES }, async () =>
    membersByUid(queries.registry).map((member) => checkNode(queries, member)),
  );

  const one = { params: NodePath, response: { 200: NodeCheck } };
  app.get("/v1/nodes/check/:uid", { schema: one, config: READ_NODES }, async ({ params }) =>
    checkNode(queries, memberOf(queries, params.uid)),
  );

  const cluster = { response: { 200: ClusterCheck } };
  app.get("/v1/cluster/check", { schema: cluster, config: READ_NODES }, async () => {
    const nodes = membersByUid(queries.registry)
      .filter((member) => counts(queries, member))
      .map((member) => checkNode(queries, member));
    const led = knowsLeader(queries);
    return {
      cluster_test_result: led && nodes.every(({ result }) => result),
      nodes: nodes.map((node) => ({ ...node, node_uid: String(node.node_uid) })),
      ...(led ? {} : { error: "no leader is known; look for voters that are down" }),
    };
  });

  const master = { response: { 200: MasterHealth } };
  app.get("/v1/local/node/master_healthcheck", { schema: master, config: READ }, async () => ({
    status: knowsLeader(queries) ? ("active" as const) : ("inactive" as const),
  }));
};

/** A join that has broken off is no fault of the cluster: it goes by itself, and must not keep the next host waiting meanwhile. */
function counts({ membership }: Queries, member: Member): boolean {
  return hasPlace(member) || membership.view(member.peer).liveness !== "dead";
}

const COMPLAINTS = {
  provisioning: "the node is still joining",
  down: "the node is down or was not heard of yet",
} as const;

function checkNode(queries: Queries, member: Member): Static<typeof NodeCheck> {
  const status = livenessOf(queries, member);
  if (status === "active") return { node_uid: member.uid, result: true };
  return { node_uid: member.uid, result: false, error: COMPLAINTS[status] };
}
