import type { MemberId } from "#shared/lib/ids.ts";

/** How often each agent probes some member. Milliseconds. */
export const PROBE_PERIOD_MS = 1000;

/**
 * The longest pause that a healthy agent is allowed, whatever the size of its cluster: stalls of event loops of 0.6 s were
 * measured, and of schedulers on a busy core of 1 s. Milliseconds.
 */
const PAUSE_MS = 3000;
/**
 * What is added per decade of members, for the news to reach the suspect and its answer to come back: gossip to 3 members every
 * 200 ms multiplies those who know by up to four, so that a decade takes 0.35 s each way; the rest is for loss. memberlist
 * takes four probe periods per decade instead, for pause and news together: 8 s among 100, where this is 5 s. Milliseconds.
 */
const NEWS_MS_PER_DECADE = 1000;
/** Source: Lifeguard (Dadgar, Phillips, Currey, DSN-W 2018), section IV-B: β. */
const CEILING_FACTOR = 6;
/** Accusers beside the first that shorten the wait to its floor. Source: memberlist, `SuspicionMult - 2`. */
const CONFIRMATIONS = 2;

/** Accusers beside the first that are worth waiting for; none in clusters too small to have them. */
export function confirmationsWanted(members: number): number {
  return members - 2 < CONFIRMATIONS ? 0 : CONFIRMATIONS;
}

/**
 * How long a suspect has to refute before it is declared dead. Milliseconds.
 *
 * A rumour needs on the order of log(members) rounds to reach everyone, so the wait grows with it. One accuser may itself
 * be what is slow: the wait starts at the ceiling and shrinks with every further, independent accuser (Lifeguard, section
 * IV-B). A lost connection is evidence of another kind: it halves the wait, and never makes it zero.
 */
export function suspicionMs(given: {
  readonly members: number;
  /** Accusers beside the first. */
  readonly confirmations: number;
  readonly connectionLost: boolean;
}): number {
  const floor = PAUSE_MS + NEWS_MS_PER_DECADE * Math.log10(given.members);
  const ceiling = floor * CEILING_FACTOR;
  const wanted = confirmationsWanted(given.members);
  const shrunk = wanted === 0 ? 1 : Math.log(given.confirmations + 1) / Math.log(wanted + 1);
  const wait = Math.max(floor, ceiling - (ceiling - floor) * shrunk);
  return Math.ceil(given.connectionLost ? wait / 2 : wait);
}

/** A suspicion under way. */
export class Suspicion {
  /** Who accused it first. */
  readonly accuser: MemberId;
  readonly #accusers = new Set<MemberId>();
  #sinceMs: number;

  constructor(accuser: MemberId, nowMs: number) {
    this.accuser = accuser;
    this.#accusers.add(accuser);
    this.#sinceMs = nowMs;
  }

  /** Counts an accuser; true if it is a new one and still shortens the wait, so that it is worth telling others. */
  confirm(accuser: MemberId, members: number): boolean {
    if (this.#accusers.has(accuser) || this.confirmations >= confirmationsWanted(members)) return false;
    this.#accusers.add(accuser);
    return true;
  }

  get confirmations(): number {
    return this.#accusers.size - 1;
  }

  /** This agent itself stood still so long; the suspect could not be heard meanwhile. */
  postpone(byMs: number): void {
    this.#sinceMs += byMs;
  }

  expired(nowMs: number, members: number, connectionLost: boolean): boolean {
    return (
      nowMs - this.#sinceMs >= suspicionMs({ members, confirmations: this.confirmations, connectionLost })
    );
  }
}
