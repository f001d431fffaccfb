import type { MemberId } from "#shared/lib/ids.ts";
import type { Member } from "#shared/registry/state.ts";

/** More voters make commits slower without making the cluster survive much more. */
const VOTERS_MAX = 5;
/** A newcomer votes once its log is no more than this many entries behind: from there it follows at the leader's pace. */
const LAG_MAX = 100;

/** What the leader knows when it decides who votes. */
export interface VoterView {
  /** The leader. */
  readonly self: MemberId;
  readonly members: readonly Pick<Member, "peer" | "uid" | "status">[];
  /** Who votes now; `outgoing` is empty unless a change is under way. */
  readonly config: {
    readonly voters: readonly MemberId[];
    readonly outgoing: readonly MemberId[];
    readonly learners: readonly MemberId[];
  };
  /** Members that answer now; the leader is one of them. */
  readonly alive: ReadonlySet<MemberId>;
  /** Members that have not answered for longer than a voter may be missing. */
  readonly dead: ReadonlySet<MemberId>;
  readonly progress: ReadonlyMap<MemberId, { readonly match: number; readonly active: boolean }>;
  readonly lastIndex: number;
}

/** Who shall vote, and who is being caught up in order to vote. */
export interface VoterPlan {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

/**
 * The configuration to ask for next; null when there is nothing to do now.
 *
 * Voters are the largest odd number ≤ min(5, active members), but one until there are three: of two voters both are needed.
 * A newcomer is caught up as a learner first, and all newcomers of one step begin to vote together, so that the number
 * stays odd. A dead voter gives way to a living member; without one it stays.
 *
 * Invariant: a plan is made only while a majority of the present voters is alive, and never for voters of which no
 * majority is.
 */
export function planVoters(view: VoterView): VoterPlan | null {
  const { config, alive } = view;
  if (config.outgoing.length > 0 || !hasLiveMajority(config.voters, alive)) return null;
  const wanted = chooseVoters(view);
  const newcomers = wanted.filter((peer) => !config.voters.includes(peer));
  const plan = newcomers.every((peer) => isCaughtUp(view, peer))
    ? { voters: wanted, learners: [] }
    : { voters: config.voters, learners: newcomers };
  if (plan.voters.length === 0 || !hasLiveMajority(plan.voters, alive)) return null;
  if (sameMembers(plan.voters, config.voters) && sameMembers(plan.learners, config.learners)) return null;
  return plan;
}

/** How many voters a cluster with this many active members shall have. */
export function votersWanted(active: number): number {
  if (active < 3) return 1;
  const most = Math.min(VOTERS_MAX, active);
  return most % 2 === 1 ? most : most - 1;
}

function chooseVoters({ self, members, config, alive, dead }: VoterView): MemberId[] {
  const active = members.filter(({ status }) => status === "active");
  const votes = (peer: MemberId): boolean => config.voters.includes(peer);
  /** The leader, present voters, living newcomers, dead voters; members that neither vote nor answer are no choice. */
  const rank = ({ peer }: { readonly peer: MemberId }): number | null => {
    if (peer === self) return 0;
    if (votes(peer)) return dead.has(peer) ? 3 : 1;
    return alive.has(peer) ? 2 : null;
  };
  const ranked = active
    .map((member) => ({ peer: member.peer, uid: member.uid, rank: rank(member) }))
    .filter((one): one is { peer: MemberId; uid: number; rank: number } => one.rank !== null)
    .sort((a, b) => a.rank - b.rank || a.uid - b.uid)
    .map(({ peer }) => peer);
  const chosen = ranked.slice(0, votersWanted(active.length));
  const newest = chosen.findLastIndex((peer) => !votes(peer));
  if (chosen.length % 2 === 0 && newest !== -1) chosen.splice(newest, 1);
  return chosen;
}

function isCaughtUp({ progress, lastIndex }: VoterView, peer: MemberId): boolean {
  const known = progress.get(peer);
  return known?.active === true && lastIndex - known.match <= LAG_MAX;
}

function hasLiveMajority(voters: readonly MemberId[], alive: ReadonlySet<MemberId>): boolean {
  return voters.filter((peer) => alive.has(peer)).length > voters.length / 2;
}

function sameMembers(a: readonly MemberId[], b: readonly MemberId[]): boolean {
  return a.length === b.length && a.every((peer) => b.includes(peer));
}
