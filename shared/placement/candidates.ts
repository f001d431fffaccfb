import type { MemberId } from "#shared/lib/ids.ts";
import { byText } from "#shared/lib/order.ts";
import type { Member } from "#shared/registry/state.ts";

/** What placement needs to know of a member. */
export type Placed = Pick<Member, "peer" | "uid" | "status" | "failedAt" | "rack_id" | "tookOverAt">;

/** Whether a member may become a voter or stand by: it takes part, and the cluster does not count it as failed. */
export function isEligible({ status, failedAt }: Placed): boolean {
  return status === "active" && failedAt === null;
}

/**
 * Takes up to `count` of the choices beside those that are kept: always the one whose zone holds the fewest so far, and of
 * equals the one with the smallest uid. Members without a rack count as one zone of their own.
 */
export function pickSpread(kept: readonly Placed[], choices: readonly Placed[], count: number): Placed[] {
  const held = countByZone(kept);
  const left = choices.toSorted((a, b) => a.uid - b.uid);
  const picked: Placed[] = [];
  while (picked.length < count && left.length > 0) {
    let best = 0;
    for (let i = 1; i < left.length; i += 1) {
      if (heldBy(held, left[i]) < heldBy(held, left[best])) best = i;
    }
    const [next] = left.splice(best, 1);
    if (next === undefined) break;
    held.set(next.rack_id, heldBy(held, next) + 1);
    picked.push(next);
  }
  return picked;
}

/**
 * How unevenly members lie over zones: the sum of squares of how many each zone holds. Smaller is better; of sets of one size
 * the smallest loses the fewest members with a zone, on average and at worst.
 */
export function crowding(members: readonly Placed[]): number {
  return [...countByZone(members).values()].reduce((sum, held) => sum + held * held, 0);
}

/** Members by their peer ids, in the order of the ids; ids of nobody are left out. */
export function membersOf(members: readonly Placed[], peers: readonly MemberId[]): Placed[] {
  const wanted = new Set(peers);
  return members.filter(({ peer }) => wanted.has(peer)).toSorted((a, b) => byText(a.peer, b.peer));
}

function countByZone(members: readonly Placed[]): Map<string | null, number> {
  const held = new Map<string | null, number>();
  for (const { rack_id } of members) held.set(rack_id, (held.get(rack_id) ?? 0) + 1);
  return held;
}

function heldBy(held: ReadonlyMap<string | null, number>, member: Placed | undefined): number {
  return member === undefined ? Number.POSITIVE_INFINITY : (held.get(member.rack_id) ?? 0);
}
