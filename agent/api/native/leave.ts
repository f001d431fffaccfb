import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import type { Commands, Queries } from "#agent/api/ports.ts";
import { writeContext } from "#agent/api/wire.ts";
import { Left } from "#shared/contract/native.ts";

import { WRITE } from "./gates.ts";

/** POST leave: takes this host out of its cluster. Answered when it is `idle`; then the agent starts anew with another key. */
export const leaveRoutes: FastifyPluginAsyncTypebox<{ commands: Commands; queries: Queries }> = async (
  app,
  { commands, queries },
) => {
  app.post("/leave", { schema: { response: { 200: Left } }, config: WRITE }, async (request) => {
    const cluster = queries.registry.cluster?.name ?? "";
    await commands.leave(writeContext(request, { topic: "members", id: queries.agent.peer }));
    const { state } = queries.bootstrap;
    return { cluster, state: state.name, reason: state.name === "idle" ? (state.reason ?? null) : null };
  });
};
