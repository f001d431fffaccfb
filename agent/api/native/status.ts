import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import type { Queries } from "#agent/api/ports.ts";
import { AgentStatus } from "#shared/contract/native.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";

import { READ_STATUS } from "./gates.ts";
import { nameOf } from "./names.ts";

/** How this agent is: its bootstrap, its cluster, its copy of the registry. */
export const statusRoutes: FastifyPluginAsyncTypebox<{ queries: Queries }> = async (app, { queries }) => {
  app.get("/status", { schema: { response: { 200: AgentStatus } }, config: READ_STATUS }, async () => ({
    agent: toAgent(queries),
    bootstrap: toBootstrap(queries.bootstrap.state),
    cluster: toCluster(queries),
    registry: toRegistry(queries),
  }));
};

function toAgent({ agent, bootstrap }: Queries): AgentStatus["agent"] {
  return {
    name: agent.name,
    peer: agent.peer,
    uuid: agent.uuid,
    uid: bootstrap.uid,
    software_version: agent.softwareVersion,
    api_urls: [...agent.apiUrls],
    mesh_addrs: [...agent.meshAddrs],
  };
}

function toBootstrap(state: BootstrapState): AgentStatus["bootstrap"] {
  const failure = state.name === "error" ? state.failure : null;
  return {
    state: state.name,
    action: "action" in state ? state.action : null,
    started_at_ms: "startedAt" in state ? state.startedAt : null,
    ended_at_ms: "endedAt" in state ? state.endedAt : null,
    error_code: failure?.code ?? null,
    error_details: failure === null ? null : { ...failure.details },
  };
}

function toCluster({ registry: { cluster, members } }: Queries): AgentStatus["cluster"] {
  if (cluster === null) return null;
  const { id, name, rackAware, createdAt } = cluster;
  return { id, name, rack_aware: rackAware, created_at_ms: createdAt, members: members.size };
}

function toRegistry(queries: Queries): AgentStatus["registry"] {
  const { role, term, leader, applied, commit, config, ageMs, quorum, missing, halted } = queries.status();
  const names = (peers: readonly string[]): string[] => peers.map((peer) => nameOf(queries, peer));
  return {
    role,
    term,
    leader: leader === null ? null : nameOf(queries, leader),
    leader_peer: leader,
    applied,
    commit,
    age_ms: ageMs,
    voters: names(config.voters),
    standbys: names(config.learners),
    quorum,
    missing: names(missing),
    halted,
  };
}
