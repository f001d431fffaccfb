import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";

import type { History } from "#agent/api/history.ts";
import type { Commands, Queries } from "#agent/api/ports.ts";
import { entityTag } from "#agent/api/preconditions.ts";
import { writeContext } from "#agent/api/wire.ts";
import { type Member, MemberList } from "#shared/contract/native.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { Member as MemberRecord } from "#shared/registry/state.ts";
import { versionOf } from "#shared/registry/versions.ts";

import { READ_MEMBERS, WRITE } from "./gates.ts";
import { findMember } from "./names.ts";
import { viewOf } from "./views.ts";

const Params = Type.Object({ name: Type.String({ minLength: 1, maxLength: 253 }) });

export const memberRoutes: FastifyPluginAsyncTypebox<{ commands: Commands; queries: Queries }> = async (
  app,
  { commands, queries },
) => {
  app.get("/members", { schema: { response: { 200: MemberList } }, config: READ_MEMBERS }, async () => {
    const records = [...queries.registry.members.values()].sort((a, b) => a.uid - b.uid);
    return { members: records.map((record) => toMember(queries, app.history, record)) };
  });

  /** Takes a host out for good: its identity is never let in again. By name, peer id, uuid or uid. */
  app.delete("/members/:name", { schema: { params: Params }, config: WRITE }, async (request, reply) => {
    const { name } = request.params;
    const member = findMember(queries, name);
    if (member === undefined) throw new AppError("member_not_found", { peer: name });
    await commands.submit(
      { type: "member.remove", peer: member.peer },
      writeContext(request, { topic: "members", id: member.peer }),
    );
    return reply.code(204).send();
  });
};

export function toMember(queries: Queries, history: History, record: MemberRecord): Member {
  const { report, liveness } = viewOf(queries, record.peer);
  return {
    name: record.name,
    uid: record.uid,
    peer: record.peer,
    uuid: record.uuid,
    role: roleOf(queries, record),
    status: record.status,
    liveness,
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

function roleOf(queries: Queries, { peer }: MemberRecord): Member["role"] {
  const { leader, config } = queries.status();
  if (peer === leader) return "leader";
  if (config.voters.includes(peer)) return "voter";
  return config.learners.includes(peer) ? "standby" : "learner";
}
