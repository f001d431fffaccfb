import type { MemberId } from "#shared/lib/ids.ts";

/** What a member of the cluster says to the question whether the asker still belongs to it. */
export interface MembershipAnswer {
  /** Who says so; proven by the channel. */
  readonly peer: MemberId;
  readonly clusterId: string;
  readonly incarnation: number;
  /** Index of the entry that took the asker out for good; null when that is not known there. */
  readonly removedAt: number | null;
}

/** What the asker knows for itself. */
export interface OwnMembership {
  readonly clusterId: string;
  readonly incarnation: number;
  /** The other members, by its own copy of the registry. */
  readonly others: ReadonlySet<MemberId>;
  /** How far its own copy goes; there it still is a member. */
  readonly index: number;
  /** How long it has heard nothing of its cluster. Milliseconds. */
  readonly lostForMs: number;
}

/** So many must say so, where there are so many: one member that errs or lies can evict nobody. */
const WITNESSES_MIN = 2;
/**
 * After this long one is enough: the others that it knows may be gone themselves. Whom nobody else has reached for a minute, a
 * liar could have kept from its cluster as well.
 */
const PATIENCE_MS = 60_000;

/**
 * Whether an agent may believe that it was removed while it was away. It counts only the words of peers that its own registry
 * lists as members, about its own cluster and incarnation, and a removal that comes after all it has seen itself; of those that
 * answered more than half must say so, and at least two where there are two others. One alone is believed when it is the only
 * other member, or when for long nobody else has answered.
 */
export function isRemoved(own: OwnMembership, answers: readonly MembershipAnswer[]): boolean {
  const heard = new Map<MemberId, boolean>();
  for (const { peer, clusterId, incarnation, removedAt } of answers) {
    if (!own.others.has(peer)) continue;
    if (clusterId !== own.clusterId || incarnation !== own.incarnation) continue;
    heard.set(peer, removedAt !== null && removedAt > own.index);
  }
  const witnesses = [...heard.values()].filter((removed) => removed).length;
  const wanted = own.lostForMs >= PATIENCE_MS ? 1 : Math.min(WITNESSES_MIN, own.others.size);
  return witnesses > 0 && 2 * witnesses > heard.size && witnesses >= wanted;
}

/**
 * Who of the members says that the cluster lives in a later incarnation, and in which: it was recovered, and this host is no part of it
 * any more. Null when nobody does. One member of this very cluster is enough, as it is when it says so in a hello on the mesh: only
 * members that lost their majority are recovered from, so a majority of witnesses may never be had again.
 */
export function outlivedBy(
  own: Pick<OwnMembership, "clusterId" | "incarnation" | "others">,
  answers: readonly MembershipAnswer[],
): { readonly peer: MemberId; readonly incarnation: number } | null {
  const later = answers.filter(
    ({ peer, clusterId, incarnation }) =>
      own.others.has(peer) && clusterId === own.clusterId && incarnation > own.incarnation,
  );
  const [latest] = later.toSorted((a, b) => b.incarnation - a.incarnation);
  return latest === undefined ? null : { peer: latest.peer, incarnation: latest.incarnation };
}
