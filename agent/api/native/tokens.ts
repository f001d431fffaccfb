import type { FastifyContextConfig } from "fastify";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";

import type { Commands, Queries } from "#agent/api/ports.ts";
import { writeContext } from "#agent/api/wire.ts";
import type { Clock } from "#agent/ports/clock.ts";
import { JoinTokenList, NewJoinToken, TokenRequest, type JoinToken } from "#shared/contract/native.ts";
import { TOKEN_TTL_MS_DEFAULT } from "#shared/lib/limits.ts";
import { epochMs, type EpochMs } from "#shared/lib/time.ts";
import { tokensById, tokenStateOf } from "#shared/registry/queries/tokens.ts";
import type { JoinToken as KeptToken } from "#shared/registry/state.ts";

import { WRITE } from "./gates.ts";

/** Who may join is an administrator's business; a list needs no majority. What a token is worth also depends on the clock. */
const READ_TOKENS: FastifyContextConfig = {
  dialect: "native",
  gate: { before: "member", auth: "write", needs: "nothing" },
  shows: { topics: ["tokens", "members"], partly: true },
};

interface Deps {
  readonly commands: Commands;
  readonly queries: Queries;
  readonly clock: Clock;
}

/** Join tokens: making one, which is shown once; what became of them; revoking one. */
export const tokenRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { commands, queries, clock }) => {
  const create = { schema: { body: TokenRequest, response: { 201: NewJoinToken } }, config: WRITE };
  app.post("/tokens", create, async (request, reply) => {
    const { ttl_s, note = "" } = request.body ?? {};
    const ttlMs = ttl_s === undefined ? TOKEN_TTL_MS_DEFAULT : ttl_s * 1000;
    const made = await commands.createToken({ ttlMs, note }, writeContext(request));
    // A secret is kept nowhere on its way.
    reply.code(201).header("cache-control", "no-store");
    return { id: made.id, token: made.token, expires_at_ms: made.expiresAt };
  });

  const list = { schema: { response: { 200: JoinTokenList } }, config: READ_TOKENS };
  app.get("/tokens", list, async () => {
    const { registry } = queries;
    const at = epochMs(Math.max(registry.at, clock.now()));
    return { tokens: tokensById(registry).map((token) => toWire(token, queries, at)) };
  });

  const revoke = {
    schema: { params: Type.Object({ id: Type.String({ maxLength: 64 }) }), response: { 204: Type.Null() } },
    config: WRITE,
  };
  app.delete("/tokens/:id", revoke, async (request, reply) => {
    const { id } = request.params;
    await commands.submit({ type: "token.revoke", id }, writeContext(request));
    reply.code(204);
    return null;
  });
};

/** `at`: the log's time, as far as it is known. Keys stay where they are. */
function toWire(token: KeptToken, { registry }: Queries, at: EpochMs): JoinToken {
  const { usedBy } = token;
  return {
    id: token.id,
    note: token.note,
    created_by: token.createdBy,
    created_at_ms: token.createdAt,
    expires_at_ms: token.expiresAt,
    used_by: usedBy === null ? null : { peer: usedBy, name: registry.members.get(usedBy)?.name ?? null },
    used_at_ms: token.usedAt,
    state: tokenStateOf(token, at),
  };
}
