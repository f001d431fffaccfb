import type { Queries } from "#agent/api/ports.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { rolesOf, type MemberRole } from "#shared/placement/roles.ts";
import { SETTINGS_DEFAULT } from "#shared/registry/state.ts";

/** Everybody's role now, as far as this agent knows who leads and who lives. */
export function rolesNow(queries: Queries): ReadonlyMap<MemberId, MemberRole> {
  const { leader, config } = queries.status();
  const { cluster, members } = queries.registry;
  return rolesOf({
    members: [...members.values()],
    config,
    leader,
    isAlive: (peer) => peer === queries.agent.peer || queries.membership.isAlive(peer),
    poolSize: (cluster?.settings ?? SETTINGS_DEFAULT).candidatePoolSize,
  });
}
