import type { MemberId } from "#shared/lib/ids.ts";

import { bucketOf } from "./bucket-hashes.ts";
import { Disagreement } from "./disagreement.ts";
import { outranks } from "./merge.ts";
import type { Rumour, SwimBody } from "./messages.ts";
import type { MemberTable } from "./table.ts";

/** What an exchange asks of the one that owns it. */
interface ExchangeHost {
  readonly self: MemberId;
  send(to: MemberId, body: SwimBody): void;
  /** What this agent says of itself. */
  own(): Rumour;
  /** Takes in what another one holds. */
  apply(rumour: Rumour): void;
}

/**
 * Makes two tables equal, at the price of what differs: whoever sees that a peer's fingerprint is another one sends those of its parts;
 * the peer tells all it holds in the parts that differ; and is told in turn what is held otherwise. It stands in for the
 * periodic exchange of whole tables in memberlist ("push-pull"), whose cost grows with the cluster though nothing happens.
 */
export class TableExchange {
  readonly #host: ExchangeHost;
  readonly #table: MemberTable;
  readonly #disagreement = new Disagreement();

  constructor(host: ExchangeHost, table: MemberTable) {
    this.#host = host;
    this.#table = table;
  }

  /** A probe shows which fingerprint that member's table has. */
  seen(from: MemberId, fingerprint: number, nowMs: number): void {
    const same = fingerprint === this.#table.hashes.whole;
    if (this.#disagreement.seen(same, nowMs)) this.#compare(from);
  }

  /** A member has come back, and may bring news of many. */
  returned(peer: MemberId, nowMs: number): void {
    if (this.#disagreement.returned(nowMs)) this.#compare(peer);
  }

  /** That member wants to compare its table, of these fingerprints, with the one here. */
  compared(from: MemberId, theirs: readonly number[]): void {
    const buckets = this.#table.hashes.differing(theirs);
    if (buckets.length > 0) this.#host.send(from, { type: "sync", buckets, members: this.#heldIn(buckets) });
  }

  /** That member tells what it holds in these parts; in none of them, when it is an answer. */
  told(from: MemberId, buckets: readonly number[], theirs: readonly Rumour[]): void {
    for (const rumour of theirs) this.#host.apply(rumour);
    if (buckets.length === 0) return;
    const told = new Map(theirs.map((rumour) => [rumour.peer, rumour]));
    const members = this.#heldIn(buckets).filter((held) => {
      const other = told.get(held.peer);
      return other === undefined || outranks(held, other);
    });
    if (members.length > 0) this.#host.send(from, { type: "sync", buckets: [], members });
  }

  #compare(peer: MemberId): void {
    this.#host.send(peer, { type: "compare", table: this.#table.hashes.buckets });
  }

  #heldIn(buckets: readonly number[]): Rumour[] {
    const members = this.#table.rumoursIn(buckets);
    if (buckets.includes(bucketOf(this.#host.self))) members.push(this.#host.own());
    return members;
  }
}
