import { crowding, isEligible, pickSpread, type Placed } from "./candidates.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { byText } from "#shared/lib/order.ts";

/** More voters make commits slower without making the cluster survive much more. */
const VOTERS_MAX = 5;
/** A newcomer votes once its log is no more than this many entries behind: from there it follows at the leader's pace. */
const LAG_MAX = 100;

/** What the leader knows when it decides who votes. */
export interface VoterView {
  /** The leader. */
  readonly self: MemberId;
  readonly members: readonly Placed[];
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
  /** Members that are about to be taken out of the cluster: they must not vote any more. */
  readonly leaving: ReadonlySet<MemberId>;
  /** How many candidates (voters and standbys) there may be. */
  readonly poolSize: number;
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
 * A newcomer is caught up as a learner first, and all newcomers of one step begin to vote together, so that the number
 * stays odd. Invariants: a plan is made only while a majority of the present voters answers, and never for voters of which
 * no majority does; the number of voters is odd and at most min(5, pool); repeated, planning comes to rest.
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

/** Who should vote by what is known now, whether or not it can be brought about at once. Empty when nobody can. */
export function chooseVoters(view: VoterView): MemberId[] {
  const { self, members, config, dead, leaving, poolSize, alive } = view;
  const staying = members.filter(({ peer, status }) => status === "active" && !leaving.has(peer));
  const votes = (member: Placed): boolean => config.voters.includes(member.peer);
  const isWell = (member: Placed): boolean => member.failedAt === null && !dead.has(member.peer);
  const well = staying.filter((member) => votes(member) && (isWell(member) || member.peer === self));
  const ill = staying.filter((member) => votes(member) && !well.includes(member));
  const fresh = staying.filter((member) => !votes(member) && isEligible(member) && alive.has(member.peer));
  const held = heldVotes(view);

  const lost = ill.length + held.length;
  const size = bestSize(well.length + fresh.length, lost, Math.min(VOTERS_MAX, poolSize));
  const leader = well.filter(({ peer }) => peer === self);
  const kept = [...leader, ...pickSpread(leader, without(well, leader), size - leader.length)].slice(0, size);
  const filled = [...kept, ...pickSpread(kept, fresh, size - kept.length)];
  // One that is lost keeps its vote where nobody could take it over: fewer voters would not survive more.
  const chosen = [...filled, ...pickSpread(filled, ill, size - filled.length)];
  if (chosen.length < size) {
    return [...chosen.map(({ peer }) => peer), ...held.slice(0, size - chosen.length)];
  }
  return (betterSpread(view, chosen, fresh) ?? chosen).map(({ peer }) => peer);
}

/**
 * Votes of peers that are no members any more, as many as members are joining in another one's place. Such a vote is the
 * newcomer's to come: dropped at once, three would first become one, and of two that are left the next loss would be fatal. A vote of
 * a member that was removed with nobody in its place is not held.
 */
function heldVotes({ members, config, leaving }: VoterView): MemberId[] {
  const known = new Set(members.map(({ peer }) => peer));
  const vacant = config.voters.filter((peer) => !known.has(peer) && !leaving.has(peer));
  const coming = members.filter(
    ({ peer, status, tookOverAt }) =>
      status === "joining" && tookOverAt !== undefined && !config.voters.includes(peer),
  );
  return vacant.toSorted(byText).slice(0, coming.length);
}

/**
 * How many shall vote: the odd number with which the most of those that are well can still be lost; of equals the larger
 * one, for a write is then on more disks. So three of which one is dead stay three, five of which two are dead become
 * three, five of which one is dead stay five; and without three candidates one votes, for of two both would be needed.
 */
function bestSize(well: number, lost: number, most: number): number {
  let best = { size: 0, spare: Number.NEGATIVE_INFINITY };
  for (let size = 1; size <= Math.min(most, well + lost); size += 2) {
    const spare = Math.min(size, well) - (size + 1) / 2;
    if (spare >= best.spare) best = { size, spare };
  }
  return best.size;
}

/**
 * The same voters but one, who gives way to a member of a zone with fewer voters; null when that does not spread them
 * better. Only while all is well, one at a time, and never the leader: moving votes is a risk that must buy something.
 */
function betterSpread(
  { self, config, alive }: VoterView,
  chosen: readonly Placed[],
  fresh: readonly Placed[],
): readonly Placed[] | null {
  const calm =
    sameMembers(
      chosen.map(({ peer }) => peer),
      config.voters,
    ) && chosen.every(({ peer }) => alive.has(peer));
  if (!calm) return null;
  let best: { readonly voters: readonly Placed[]; readonly crowding: number } | null = null;
  for (const goes of chosen.toSorted((a, b) => b.uid - a.uid)) {
    if (goes.peer === self) continue;
    const rest = without(chosen, [goes]);
    const voters = [...rest, ...pickSpread(rest, fresh, 1)];
    if (voters.length < chosen.length) return null;
    const found = { voters, crowding: crowding(voters) };
    if (found.crowding < (best?.crowding ?? crowding(chosen))) best = found;
  }
  return best?.voters ?? null;
}

function without(members: readonly Placed[], gone: readonly Placed[]): Placed[] {
  return members.filter((member) => !gone.includes(member));
}

function isCaughtUp({ progress, lastIndex }: VoterView, peer: MemberId): boolean {
  const known = progress.get(peer);
  return known?.active === true && lastIndex - known.match <= LAG_MAX;
}

/** Whether more than half of these voters answer. */
export function hasLiveMajority(voters: readonly MemberId[], alive: ReadonlySet<MemberId>): boolean {
  return voters.filter((peer) => alive.has(peer)).length > voters.length / 2;
}

function sameMembers(a: readonly MemberId[], b: readonly MemberId[]): boolean {
  return a.length === b.length && a.every((peer) => b.includes(peer));
}
