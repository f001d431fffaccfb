import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";

import { BOOTSTRAP_ACTIONS, isMember, type BootstrapState } from "#shared/bootstrap/machine.ts";

import type { RedisDeps } from "./deps.ts";
import { LOOK, START } from "./gates.ts";
import { LocalNodeInfo, toLocalNodeInfo } from "./host-facts.ts";
import { BootstrapBody } from "./schemas.ts";
import { BootstrapStatus, STATE_WORDS, toStatus, wordOf } from "./status.ts";
import { toBootstrapRequest } from "./translate.ts";

/** The seed's page prints all three: `/v1/boostrap` in its table, `/bootstrap` in its examples. */
export const BOOTSTRAP_PATHS = ["/v1/bootstrap", "/v1/boostrap", "/bootstrap"] as const;

/** Answer of GET /v1/bootstrap. */
export const BootstrapView = Type.Object({
  bootstrap_status: BootstrapStatus,
  local_node_info: Type.Optional(LocalNodeInfo),
});

/** `wait` is read by the hook that waits: agent/api/bootstrap-waits.ts. */
const Wishes = Type.Object({
  wait: Type.Optional(Type.String()),
  state: Type.Optional(Type.Enum([...STATE_WORDS])),
});

/** Seed 003: how far this host's bootstrap is, and starting one. */
export const bootstrapRoutes: FastifyPluginAsyncTypebox<RedisDeps> = async (
  app,
  { commands, queries, clock },
) => {
  const teller = () => ({
    now: clock.now(),
    leaderKnown: queries.status().leader !== null,
    steps: queries.bootstrap.steps,
  });
  const waitsFor = (state: BootstrapState): string => wordOf(state, teller());

  for (const path of BOOTSTRAP_PATHS) {
    const schema = { querystring: Wishes, response: { 200: BootstrapView } };
    app.get(path, { schema, config: { dialect: "redis", gate: LOOK, waitsFor } }, async ({ principal }) => {
      const { state, uid } = queries.bootstrap;
      // Somebody without a name was let in: before this host became a member, or by bootstrap.open_status.
      if (principal === null && isMember(state)) {
        return { bootstrap_status: { state: wordOf(state, teller()) } };
      }
      return {
        bootstrap_status: toStatus(state, teller()),
        local_node_info: toLocalNodeInfo(queries.agent, uid, queries.inventory.current()),
      };
    });

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
