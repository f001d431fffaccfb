import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";

import type { History } from "#agent/api/history.ts";
import type { Commands, Queries } from "#agent/api/ports.ts";
import { entityTag } from "#agent/api/preconditions.ts";
import { writeContext } from "#agent/api/wire.ts";
import { type Member, MemberList } from "#shared/contract/native.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { MemberRole } from "#shared/placement/roles.ts";
import type { Member as MemberRecord } from "#shared/registry/state.ts";
import { versionOf } from "#shared/registry/versions.ts";

import { READ_MEMBERS, WRITE } from "./gates.ts";
import { findMember } from "./names.ts";
import { rolesNow } from "./roles.ts";
import { viewOf } from "./views.ts";

const Params = Type.Object({ name: Type.String({ minLength: 1, maxLength: 253 }) });

/** `force`: also a member that is alive. */
const Removal = Type.Object({ force: Type.Optional(Type.Boolean()) });

export const memberRoutes: FastifyPluginAsyncTypebox<{ commands: Commands; queries: Queries }> = async (
  app,
  { commands, queries },
) => {
  app.get("/members", { schema: { response: { 200: MemberList } }, config: READ_MEMBERS }, async () => {
    const roles = rolesNow(queries);
    const records = [...queries.registry.members.values()].sort((a, b) => a.uid - b.uid);
    return { members: records.map((record) => toMember(queries, app.history, record, roles)) };
  });

  /** Takes a host out for good: its identity is never let in again. By name, peer id, uuid or uid. */
  const removal = { params: Params, querystring: Removal };
  app.delete("/members/:name", { schema: removal, config: WRITE }, async (request, reply) => {
    const { name } = request.params;
    const member = findMember(queries, name);
    if (member === undefined) throw new AppError("member_not_found", { peer: name });
    const context = writeContext(request, { topic: "members", id: member.peer });
    await commands.removeMember(member.peer, { ...context, force: request.query.force ?? false });
    return reply.code(204).send();
  });
};

export function toMember(
  queries: Queries,
  history: History,
  record: MemberRecord,
  roles: ReadonlyMap<MemberId, MemberRole>,
): Member {
  const { report, liveness } = viewOf(queries, record.peer);
  return {
    name: record.name,
    uid: record.uid,
    peer: record.peer,
    uuid: record.uuid,
    role: roles.get(record.peer) ?? "learner",
    status: record.status,
    liveness,
    failed_since_ms: record.failedAt,
    took_over_at_ms: record.tookOverAt ?? null,
    addr: record.addr,
    external_addrs: record.external_addrs,
    api_urls: record.api_urls,
    mesh_addrs: record.mesh_addrs,
    rack_id: record.rack_id,
    software_version: record.software_version,
    added_at_ms: record.addedAt,
    cores: report?.facts.static.cpu.cores ?? null,
    total_memory: report?.facts.static.memory_total ?? null,
    etag: entityTag(history, versionOf(queries.registry, "members", record.peer)),
  };
}
