import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type, type Static } from "typebox";

import type { Queries, Target } from "#agent/api/ports.ts";
import { writeContext } from "#agent/api/wire.ts";
import { ClusterPolicy } from "#shared/registry/command.ts";

import { clusterOf } from "./cluster.ts";
import type { RedisDeps } from "./deps.ts";
import { READ_SETTINGS, WRITE } from "./gates.ts";

export const PolicyView = Type.Object({ rack_aware: Type.Boolean(), ...ClusterPolicy.properties });
const PolicyBody = Type.Partial(PolicyView);

/** What If-Match is about. */
export const CLUSTER: Target = { topic: "cluster", id: "" };

/** Rack awareness, and what the vendor's databases would go by: kept and shown. */
export const policyRoutes: FastifyPluginAsyncTypebox<RedisDeps> = async (app, { commands, queries }) => {
  const read = { schema: { response: { 200: PolicyView } }, config: READ_SETTINGS };
  app.get("/v1/cluster/policy", read, async () => toPolicy(queries));

  const change = { schema: { body: PolicyBody, response: { 200: PolicyView } }, config: WRITE };
  app.put("/v1/cluster/policy", change, async (request) => {
    await commands.submit(toCommand(request.body), writeContext(request, CLUSTER));
    return toPolicy(queries);
  });
};

/** Only what is a policy goes into the registry. */
function toCommand({ rack_aware, ...others }: Static<typeof PolicyBody>) {
  const known = Object.keys(ClusterPolicy.properties);
  const policy = Object.fromEntries(Object.entries(others).filter(([name]) => known.includes(name)));
  return {
    type: "cluster.configure",
    policy,
    ...(rack_aware === undefined ? {} : { rack_aware }),
  } as const;
}

function toPolicy(queries: Queries): Static<typeof PolicyView> {
  const { rackAware, policy } = clusterOf(queries);
  return { rack_aware: rackAware, ...policy };
}
