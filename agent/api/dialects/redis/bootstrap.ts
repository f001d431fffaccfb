import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import type { Gate } from "#agent/api/gate.ts";
import type { Commands, Queries } from "#agent/api/ports.ts";
import { BOOTSTRAP_ACTIONS } from "#shared/bootstrap/machine.ts";

import { BootstrapBody, BootstrapView } from "./schemas.ts";
import { toBootstrapRequest, toLocalNodeInfo, toStatus } from "./translate.ts";

const LOOK: Gate = { before: "any", auth: "once_member", needs: "nothing" };
const START: Gate = { before: "any", auth: "once_member", needs: "nothing", callers: "bootstrap" };

/** The seed's page prints all three: `/v1/boostrap` in its table, `/bootstrap` in its examples. */
const STATUS_PATHS = ["/v1/bootstrap", "/v1/boostrap", "/bootstrap"];

/** Seed 003: how far this host's bootstrap is, and starting one. */
export const bootstrapRoutes: FastifyPluginAsyncTypebox<{ commands: Commands; queries: Queries }> = async (
  app,
  { commands, queries },
) => {
  for (const path of STATUS_PATHS) {
    const schema = { response: { 200: BootstrapView } };
    app.get(path, { schema, config: { dialect: "redis", gate: LOOK } }, async () => ({
      bootstrap_status: toStatus(queries.bootstrap.state),
      local_node_info: toLocalNodeInfo(queries.agent, queries.bootstrap.uid, queries.inventory.current()),
    }));
  }

  for (const path of ["/v1/bootstrap", "/bootstrap"]) {
    for (const action of BOOTSTRAP_ACTIONS) {
      const config = { dialect: "redis", gate: START } as const;
      app.post(`${path}/${action}`, { schema: { body: BootstrapBody }, config }, async ({ body }, reply) => {
        await commands.startBootstrap(action, toBootstrapRequest(action, body));
        // Without a body: a script takes anything it can read here, even {}, for an error.
        return reply.code(200).send();
      });
    }
  }
};
