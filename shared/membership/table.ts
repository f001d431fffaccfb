import type { MemberId } from "#shared/lib/ids.ts";

import type { Status } from "./merge.ts";
import type { Suspicion } from "./suspicion.ts";

/** What this agent holds of one other member. */
export interface Held {
  status: Status;
  /** 0: nobody has heard of it yet. */
  incarnation: number;
  /** Whose word the status is. */
  by: MemberId;
  /** When there was last proof of life, direct or by rumour; null if never. */
  heardMs: number | null;
  suspicion: Suspicion | null;
  /** Its connection to this agent is known to be gone. */
  lost: boolean;
}

/** Whether a member takes part, as far as is known. */
export function isLive(status: Status): boolean {
  return status === "alive" || status === "suspect";
}

/** The other members of the cluster, and who of them is next. */
export class MemberTable {
  readonly #self: MemberId;
  readonly #random: () => number;
  readonly #members = new Map<MemberId, Held>();
  /** Members still to be probed in this round. */
  #round: MemberId[] = [];

  constructor(self: MemberId, random: () => number) {
    this.#self = self;
    this.#random = random;
  }

  get(peer: MemberId): Held | undefined {
    return this.#members.get(peer);
  }

  entries(): IterableIterator<[MemberId, Held]> {
    return this.#members.entries();
  }

  /** Exactly these belong to the cluster now; returns those that do no more. A new one counts as alive until it is silent. */
  replace(peers: readonly MemberId[]): readonly MemberId[] {
    const wanted = new Set(peers);
    wanted.delete(this.#self);
    const gone = [...this.#members.keys()].filter((peer) => !wanted.has(peer));
    for (const peer of gone) this.#members.delete(peer);
    for (const peer of wanted) {
      if (this.#members.has(peer)) continue;
      const nothing = { incarnation: 0, by: this.#self, heardMs: null, suspicion: null, lost: false };
      this.#members.set(peer, { status: "alive", ...nothing });
    }
    return gone;
  }

  /** Members that take part now, this agent included. */
  liveCount(): number {
    let count = 1;
    for (const { status } of this.#members.values()) if (isLive(status)) count += 1;
    return count;
  }

  /** Whom to probe next: everybody once per round, in an order drawn anew each round (SWIM, section 4.3). */
  nextTarget(): MemberId | null {
    for (;;) {
      const next = this.#round.pop();
      if (next === undefined) {
        this.#round = this.#shuffled(this.#live());
        if (this.#round.length === 0) return null;
      } else if (isLive(this.#members.get(next)?.status ?? "left")) return next;
    }
  }

  /** Up to `count` members at random that take part and to whom messages can be expected to get. */
  pick(count: number, except: MemberId | null): readonly MemberId[] {
    const able = this.#live().filter((peer) => peer !== except && this.#members.get(peer)?.lost === false);
    return this.#shuffled(able).slice(0, count);
  }

  /** One of the dead at random; null when there are none. */
  oneDead(): MemberId | null {
    const dead = [...this.#members].filter(([, { status }]) => status === "dead");
    return dead[Math.floor(this.#random() * dead.length)]?.[0] ?? null;
  }

  #live(): MemberId[] {
    return [...this.#members].filter(([, { status }]) => isLive(status)).map(([peer]) => peer);
  }

  #shuffled(peers: MemberId[]): MemberId[] {
    for (let i = peers.length - 1; i > 0; i -= 1) {
      const j = Math.floor(this.#random() * (i + 1));
      [peers[i], peers[j]] = [peers[j] as MemberId, peers[i] as MemberId];
    }
    return peers;
  }
}
