import type { MemberId } from "#shared/lib/ids.ts";

/** What is held of a member. `left` is a member that said goodbye; it is no failure. */
export type Status = "alive" | "suspect" | "dead" | "left";

/** One statement about one member: at this incarnation of it, this is its status. */
export interface News {
  readonly peer: MemberId;
  readonly status: Status;
  /** Only the member itself raises it: by refuting what is said of it, and with every start of its agent. */
  readonly incarnation: number;
}

const RANK: Readonly<Record<Status, number>> = { alive: 0, suspect: 1, dead: 2, left: 3 };

/**
 * Whether the news replaces what is held: a higher incarnation always, the graver status at an equal one.
 *
 * Source: SWIM (Das, Gupta, Motivala, DSN 2002), section 4.2, with memberlist's change that death too is bound to an incarnation,
 * so that a restarted or wrongly buried member can come back.
 * Invariant: a total order, so that agents which heard the same news in any order hold the same.
 */
export function outranks(news: Omit<News, "peer">, held: Omit<News, "peer">): boolean {
  if (news.incarnation !== held.incarnation) return news.incarnation > held.incarnation;
  return RANK[news.status] > RANK[held.status];
}
