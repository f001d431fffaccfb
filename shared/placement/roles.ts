import { isEligible, membersOf, pickSpread, type Placed } from "./candidates.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/**
 * What a member does for the cluster. `leader` and `voter` decide; a `standby` is next to vote when a voter is lost; a
 * `learner` is asked last, or not at all. Standbys and learners hold the same registry and serve the same API.
 */
export type MemberRole = "leader" | "voter" | "standby" | "learner";

/** What roles are told from. */
export interface RoleView {
  readonly members: readonly Placed[];
  /** Who votes, as the log says; `learners` are being caught up in order to vote. */
  readonly config: { readonly voters: readonly MemberId[]; readonly learners: readonly MemberId[] };
  readonly leader: MemberId | null;
  readonly isAlive: (peer: MemberId) => boolean;
  /** How many voters and standbys there may be together. */
  readonly poolSize: number;
}

/**
 * Everybody's role. Voters are what the log says; standbys are the next that would vote, as many as the pool has room for:
 * alive, active, not failed, from the zones with the fewest voters first.
 */
export function rolesOf({ members, config, leader, isAlive, poolSize }: RoleView): Map<MemberId, MemberRole> {
  const voters = membersOf(members, config.voters);
  const votes = new Set(config.voters);
  const waiting = members.filter((member) => !votes.has(member.peer));
  const coming = waiting.filter(({ peer }) => config.learners.includes(peer));
  const others = waiting.filter(
    (member) => !coming.includes(member) && isEligible(member) && isAlive(member.peer),
  );
  const room = Math.max(0, poolSize - voters.length - coming.length);
  const standbys = new Set([...coming, ...pickSpread([...voters, ...coming], others, room)]);
  return new Map(
    members.map((member) => {
      if (member.peer === leader) return [member.peer, "leader"];
      if (votes.has(member.peer)) return [member.peer, "voter"];
      return [member.peer, standbys.has(member) ? "standby" : "learner"];
    }),
  );
}
