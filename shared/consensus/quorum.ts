import type { VoterConfig } from "#shared/consensus/messages.ts";
import type { MemberId } from "#shared/lib/ids.ts";

// Majorities. During a joint change (dissertation §4.3) both the new and the old set of voters must agree, each by itself.

/** Whether the member votes under this configuration, in the new set or in the outgoing one. */
export function isVoter(config: VoterConfig, member: MemberId): boolean {
  return config.voters.includes(member) || config.outgoing.includes(member);
}

/** Whether a change is half done: two majorities are needed. */
export function isJoint(config: VoterConfig): boolean {
  return config.outgoing.length > 0;
}

/** Whether this member alone is a majority. */
export function isSoleVoter(config: VoterConfig, member: MemberId): boolean {
  return !isJoint(config) && config.voters.length === 1 && config.voters[0] === member;
}

/**
 * The largest number that a majority of the voters has reached, in each set of a joint configuration (§3.5.1 `matchIndex`).
 * Zero when there are no voters at all.
 */
export function quorumReached(config: VoterConfig, reached: (member: MemberId) => number): number {
  const incoming = majorityReached(config.voters, reached);
  return isJoint(config) ? Math.min(incoming, majorityReached(config.outgoing, reached)) : incoming;
}

function majorityReached(voters: readonly MemberId[], reached: (member: MemberId) => number): number {
  const values = voters.map(reached).sort((a, b) => a - b);
  return values[(values.length - 1) >> 1] ?? 0;
}

/** How an election stands. `lost`: no further answer can win it any more. */
export type Tally = "won" | "lost" | "open";

/** Counts the answers of voters only; whoever else answered does not matter. */
export function tally(config: VoterConfig, votes: ReadonlyMap<MemberId, boolean>): Tally {
  const incoming = tallySet(config.voters, votes);
  if (!isJoint(config)) return incoming;
  const outgoing = tallySet(config.outgoing, votes);
  if (incoming === "lost" || outgoing === "lost") return "lost";
  return incoming === "won" && outgoing === "won" ? "won" : "open";
}

function tallySet(voters: readonly MemberId[], votes: ReadonlyMap<MemberId, boolean>): Tally {
  const needed = Math.floor(voters.length / 2) + 1;
  let granted = 0;
  let refused = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) granted += 1;
    if (vote === false) refused += 1;
  }
  if (granted >= needed) return "won";
  return refused > voters.length - needed ? "lost" : "open";
}
