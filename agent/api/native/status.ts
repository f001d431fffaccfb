import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import type { Queries } from "#agent/api/ports.ts";
import { AgentStatus } from "#shared/contract/native.ts";
import type { BootstrapFailure, BootstrapState } from "#shared/bootstrap/machine.ts";
import { byText } from "#shared/lib/order.ts";
import type { MemberRole } from "#shared/placement/roles.ts";

import { READ_STATUS } from "./gates.ts";
import { nameOf } from "#shared/registry/queries/members.ts";
import { rolesNow } from "./roles.ts";

type Roles = ReturnType<typeof rolesNow>;

/** How this agent is: its bootstrap, its cluster, its copy of the registry. */
export const statusRoutes: FastifyPluginAsyncTypebox<{ queries: Queries }> = async (app, { queries }) => {
  app.get("/status", { schema: { response: { 200: AgentStatus } }, config: READ_STATUS }, async () => {
    const roles = rolesNow(queries);
    return {
      agent: toAgent(queries, roles.get(queries.agent.peer)),
      bootstrap: toBootstrap(queries.bootstrap.state),
      cluster: toCluster(queries),
      registry: toRegistry(queries, roles),
    };
  });
};

function toAgent({ agent, bootstrap, registry }: Queries, role?: MemberRole): AgentStatus["agent"] {
  return {
    name: agent.name,
    peer: agent.peer,
    uuid: agent.uuid,
    uid: bootstrap.uid,
    software_version: agent.softwareVersion,
    role: role ?? null,
    failed_since_ms: registry.members.get(agent.peer)?.failedAt ?? null,
    api_urls: [...agent.apiUrls],
    mesh_addrs: [...agent.meshAddrs],
  };
}

function toBootstrap(state: BootstrapState): AgentStatus["bootstrap"] {
  const failure = failureOf(state);
  return {
    state: state.name,
    reason: state.name === "idle" ? (state.reason ?? null) : null,
    action: "action" in state ? state.action : null,
    started_at_ms: "startedAt" in state ? state.startedAt : null,
    ended_at_ms: "endedAt" in state ? state.endedAt : null,
    error_code: failure?.code ?? null,
    error_details: failure === null ? null : { ...failure.details },
  };
}

function failureOf(state: BootstrapState): BootstrapFailure | null {
  if (state.name === "error") return state.failure;
  return state.name === "completed" ? (state.recovery?.failure ?? null) : null;
}

function toCluster({ registry: { cluster, members } }: Queries): AgentStatus["cluster"] {
  if (cluster === null) return null;
  const { id, name, rackAware, createdAt, incarnation, recoveredAt } = cluster;
  const failed = [...members.values()].filter(({ failedAt }) => failedAt !== null);
  return {
    id,
    name,
    rack_aware: rackAware,
    created_at_ms: createdAt,
    incarnation,
    recovered_at_ms: recoveredAt,
    members: members.size,
    failed: failed.map((member) => member.name).toSorted(byText),
  };
}

function toRegistry(queries: Queries, roles: Roles): AgentStatus["registry"] {
  const { role, term, leader, applied, commit, config, ageMs, quorum, missing, halted } = queries.status();
  const names = (peers: readonly string[]): string[] => peers.map((peer) => nameOf(queries.registry, peer));
  return {
    role,
    term,
    leader: leader === null ? null : nameOf(queries.registry, leader),
    leader_peer: leader,
    applied,
    commit,
    age_ms: ageMs,
    voters: names(config.voters),
    standbys: names([...roles].flatMap(([peer, role]) => (role === "standby" ? [peer] : []))),
    quorum,
    missing: names(missing),
    halted,
  };
}
