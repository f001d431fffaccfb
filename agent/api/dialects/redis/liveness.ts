import { Type } from "typebox";

import type { Queries } from "#agent/api/ports.ts";
import type { Member } from "#shared/registry/state.ts";

/** The vendor's words for how a node is, as far as they apply. */
export const NODE_STATUS = Type.Enum(["active", "provisioning", "down"]);
type NodeStatus = "active" | "provisioning" | "down";

/**
 * How a member is, as this agent sees it. `provisioning`: it is joining and holds no registry yet. `down`: the cluster counts it as
 * failed, it is known to be dead, or was not heard of, which is no better for whoever counts the nodes that work.
 */
export function livenessOf({ agent, membership }: Queries, member: Member): NodeStatus {
  if (member.failedAt !== null) return "down";
  const self = member.peer === agent.peer;
  if (member.status === "joining")
    return membership.view(member.peer).liveness === "dead" ? "down" : "provisioning";
  return self || membership.isAlive(member.peer) ? "active" : "down";
}

/** Whether this agent knows who leads the cluster, without whom nothing can be changed. */
export function knowsLeader(queries: Queries): boolean {
  return queries.status().leader !== null;
}
