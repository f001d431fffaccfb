import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import type { Commands, Queries } from "#agent/api/ports.ts";
import { expectationOf } from "#agent/api/preconditions.ts";
import { Leader, LeaderRequest } from "#shared/contract/native.ts";
import { AppError } from "#shared/errors/app-error.ts";

import { WRITE } from "./gates.ts";
import { findMember } from "./names.ts";
import { nameOf } from "#shared/registry/queries/members.ts";

/** POST leader: hands leadership to the named voter, or to the one that is best suited. Any agent takes the wish. */
export const leaderRoutes: FastifyPluginAsyncTypebox<{ commands: Commands; queries: Queries }> = async (
  app,
  { commands, queries },
) => {
  const schema = { body: LeaderRequest, response: { 200: Leader } };
  app.post("/leader", { schema, config: WRITE }, async (request) => {
    // Who leads is no record and has no version, so a condition is refused rather than ignored.
    expectationOf(request, app.history, null);
    const wanted = request.body?.to;
    const to = wanted === undefined ? undefined : findMember(queries, wanted);
    if (wanted !== undefined && to === undefined) throw new AppError("member_not_found", { peer: wanted });
    const leader = await commands.lead(to?.peer ?? null);
    return { leader: nameOf(queries.registry, leader), leader_peer: leader };
  });
};
