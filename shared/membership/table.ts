import type { MemberId } from "#shared/lib/ids.ts";
import { byText } from "#shared/lib/order.ts";

import { BucketHashes, bucketOf } from "./bucket-hashes.ts";
import { DrawSet } from "./draw-set.ts";
import type { Status } from "./merge.ts";
import type { Rumour } from "./messages.ts";
import { Suspicion } from "./suspicion.ts";

/** What this agent holds of one other member. */
export interface Held {
  readonly status: Status;
  /** 0: nobody has heard of it yet. */
  readonly incarnation: number;
  /** When there was last proof of life, direct or by rumour; null if never. */
  readonly heardMs: number | null;
  /** Of a suspect only. */
  readonly suspicion: Suspicion | null;
  /** Its connection to this agent is known to be gone. */
  readonly lost: boolean;
}

type Entry = { -readonly [K in keyof Held]: Held[K] };

/** Whether a member takes part, as far as is known. */
export function isLive(status: Status): boolean {
  return status === "alive" || status === "suspect";
}

/**
 * The other members of the cluster, and who of them is next. What is done per message or tick costs the same however many
 * members there are.
 */
export class MemberTable {
  readonly #self: MemberId;
  readonly #random: () => number;
  readonly #members = new Map<MemberId, Entry>();
  readonly #hashes = new BucketHashes();
  readonly #live: DrawSet;
  /** Live, and messages can be expected to get there. */
  readonly #able: DrawSet;
  readonly #dead: DrawSet;
  readonly #suspects = new Map<MemberId, Suspicion>();
  /** All that take part, this agent too, in an order on which all agents agree. Null: to be made anew. */
  #ring: MemberId[] | null = null;

  constructor(self: MemberId, random: () => number) {
    this.#self = self;
    this.#random = random;
    this.#live = new DrawSet(random);
    this.#able = new DrawSet(random);
    this.#dead = new DrawSet(random);
  }

  get(peer: MemberId): Held | undefined {
    return this.#members.get(peer);
  }

  suspects(): ReadonlyMap<MemberId, Suspicion> {
    return this.#suspects;
  }

  /** Fingerprints of what is held of everybody that was heard of, this agent included. */
  get hashes(): Pick<BucketHashes, "whole" | "buckets" | "differing"> {
    return this.#hashes;
  }

  /** What this agent says of itself, for the fingerprints. */
  putSelf(status: Status, incarnation: number): void {
    this.#hashes.set(this.#self, `${status} ${incarnation}`);
  }

  /** Takes news of a member of the table. */
  put(rumour: Rumour, nowMs: number): void {
    const { peer, status, incarnation } = rumour;
    const held = this.#members.get(peer);
    if (held === undefined) return;
    held.status = status;
    held.incarnation = incarnation;
    held.suspicion = rumour.status === "suspect" ? new Suspicion(rumour.by, nowMs) : null;
    if (status === "alive") held.heardMs = nowMs;
    this.#hashes.set(peer, `${status} ${incarnation}`);
    this.#mark(peer, held);
  }

  heard(peer: MemberId, nowMs: number): void {
    const held = this.#members.get(peer);
    if (held !== undefined) held.heardMs = nowMs;
  }

  setLost(peer: MemberId, lost: boolean): void {
    const held = this.#members.get(peer);
    if (held === undefined || held.lost === lost) return;
    held.lost = lost;
    this.#mark(peer, held);
  }

  /** Exactly these belong to the cluster now; returns those that do no more. A new one counts as alive until it is silent. */
  replace(peers: readonly MemberId[]): readonly MemberId[] {
    const wanted = new Set(peers);
    wanted.delete(this.#self);
    const gone = [...this.#members.keys()].filter((peer) => !wanted.has(peer));
    for (const peer of gone) {
      this.#members.delete(peer);
      this.#hashes.set(peer, null);
      this.#mark(peer, null);
    }
    for (const peer of wanted) {
      if (this.#members.has(peer)) continue;
      const held: Entry = { status: "alive", incarnation: 0, heardMs: null, suspicion: null, lost: false };
      this.#members.set(peer, held);
      this.#mark(peer, held);
    }
    return gone;
  }

  /** What is held of the other members in these parts of the table, as it is told. */
  rumoursIn(buckets: readonly number[]): Rumour[] {
    const wanted = new Set(buckets);
    const out: Rumour[] = [];
    for (const [peer, held] of this.#members) {
      if (held.incarnation > 0 && wanted.has(bucketOf(peer))) out.push(rumourOf(peer, held));
    }
    return out;
  }

  /** Members that take part now, this agent included. */
  liveCount(): number {
    return this.#live.size + 1;
  }

  /**
   * Whom to probe in this turn: each agent goes round the ring of all that take part, one place further with every turn (SWIM,
   * section 4.3: everybody once per round). Agents that are in the same turn and know of the same members probe each one exactly once
   * between them, so that nobody waits for his probe by bad luck; with targets drawn by chance one waits for 4.6 s in one of a
   * hundred cases. Where turns or members differ it is as good as chance.
   */
  targetIn(turn: number): MemberId | null {
    this.#ring ??= this.#live.items.concat(this.#self).sort(byText);
    const others = this.#ring.length - 1;
    if (others === 0) return null;
    const place = this.#ring.indexOf(this.#self) + 1 + (turn % others);
    return this.#ring[place % this.#ring.length] ?? null;
  }

  /** Up to `count` members at random that take part and to whom messages can be expected to get. */
  pick(count: number, except: MemberId | null): readonly MemberId[] {
    return this.#able.draw(count, except);
  }

  /** One of the dead at random; null when there are none. */
  oneDead(): MemberId | null {
    return this.#dead.draw(1, null)[0] ?? null;
  }

  /** Whether a chance comes true that this many of all live members are meant to have. */
  isAmong(expected: number): boolean {
    return this.#random() * this.liveCount() < expected;
  }

  #mark(peer: MemberId, held: Held | null): void {
    const live = held !== null && isLive(held.status);
    if (this.#live.mark(peer, live)) this.#ring = null;
    this.#able.mark(peer, live && !held.lost);
    this.#dead.mark(peer, held?.status === "dead");
    const suspicion = held?.suspicion ?? null;
    if (suspicion === null) this.#suspects.delete(peer);
    else this.#suspects.set(peer, suspicion);
  }
}

/** What is held of a member, as it is told. */
export function rumourOf(
  peer: MemberId,
  { status, incarnation, suspicion }: Pick<Held, "status" | "incarnation" | "suspicion">,
): Rumour {
  if (status !== "suspect") return { peer, status, incarnation };
  return { peer, status, incarnation, by: suspicion?.accuser ?? peer };
}
