import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";

import type { History } from "#agent/api/history.ts";
import type { Queries } from "#agent/api/ports.ts";
import { Host, HostList, type HostSummary } from "#shared/contract/native.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Member as MemberRecord } from "#shared/registry/state.ts";

import { READ_HOSTS } from "./gates.ts";
import { toMember } from "./members.ts";
import { findMember } from "./names.ts";
import { rolesNow } from "./roles.ts";
import { viewOf } from "./views.ts";

const Params = Type.Object({ name: Type.String({ minLength: 1, maxLength: 253 }) });

/** What hosts are, from whichever agent is asked. Before there is a cluster, this host alone. */
export const hostRoutes: FastifyPluginAsyncTypebox<{ queries: Queries }> = async (app, { queries }) => {
  app.get("/hosts", { schema: { response: { 200: HostList } }, config: READ_HOSTS }, async () => ({
    hosts: knownHosts(queries).map((host) => toSummary(queries, host)),
  }));

  const one = { params: Params, response: { 200: Host } };
  app.get("/hosts/:name", { schema: one, config: READ_HOSTS }, async ({ params }) =>
    toHost(queries, app.history, findHost(queries, params.name)),
  );
};

/** A host by its identity, with its record once the cluster has one. */
interface KnownHost {
  readonly peer: MemberId;
  readonly name: string;
  readonly record: MemberRecord | null;
}

function knownHosts(queries: Queries): readonly KnownHost[] {
  const records = [...queries.registry.members.values()].sort((a, b) => a.uid - b.uid);
  if (records.length === 0) return [self(queries)];
  return records.map(ofRecord);
}

function findHost(queries: Queries, text: string): KnownHost {
  const record = findMember(queries, text);
  if (record !== undefined) return ofRecord(record);
  const { name, peer, uuid } = queries.agent;
  if (text === name || text === peer || text === uuid) return self(queries);
  throw new AppError("not_found", { what: `the host ${text}` });
}

function self({ agent: { peer, name } }: Queries): KnownHost {
  return { peer, name, record: null };
}

function ofRecord(record: MemberRecord): KnownHost {
  return { peer: record.peer, name: record.name, record };
}

function toSummary(queries: Queries, { peer, name, record }: KnownHost): HostSummary {
  const { report, liveness } = viewOf(queries, peer);
  const facts = report?.facts ?? null;
  return {
    name,
    uid: record?.uid ?? null,
    peer,
    liveness,
    failed_since_ms: record?.failedAt ?? null,
    cores: facts?.static.cpu.cores ?? null,
    total_memory: facts?.static.memory_total ?? null,
    free_memory: facts?.live.memory_free ?? null,
    os_version: facts?.static.os.version ?? null,
    software_version: facts?.static.software_version ?? null,
    collected_at_ms: facts?.collected_at_ms ?? null,
  };
}

function toHost(queries: Queries, history: History, { peer, name, record }: KnownHost): Host {
  const view = viewOf(queries, peer);
  return {
    name,
    peer,
    member: record === null ? null : toMember(queries, history, record, rolesNow(queries)),
    liveness: view.liveness,
    last_seen_ms_ago: view.lastSeenMsAgo,
    rtt_ms: view.rttMs,
    clock_offset_ms: view.clockOffsetMs,
    clock_alarm: view.clockAlarm,
    version: view.version,
    facts: view.report?.facts ?? null,
  };
}
