import type { MemberId } from "#shared/lib/ids.ts";

import type { Rumour } from "./messages.ts";

/** Times a rumour is passed on, per decade of members. Source: memberlist `RetransmitMult` on a LAN. */
const REPEATS_FACTOR = 4;

/** How often each agent passes a rumour on, so that all of that many members hear it with high probability. */
export function repeatsMax(members: number): number {
  return REPEATS_FACTOR * Math.ceil(Math.log10(members + 1));
}

/**
 * News still to be passed on, the least told first. A newer rumour about a member replaces the older ones; only suspicions
 * of different accusers stand beside each other, for each of them counts.
 */
export class Rumours {
  readonly #waiting = new Map<string, { readonly rumour: Rumour; told: number }>();

  get size(): number {
    return this.#waiting.size;
  }

  add(rumour: Rumour): void {
    if (rumour.status !== "suspect") this.forget(rumour.peer);
    else this.#dropOthers(rumour);
    this.#waiting.set(keyOf(rumour), { rumour, told: 0 });
  }

  /** Nothing about this member is passed on any more. */
  forget(peer: MemberId): void {
    for (const [key, { rumour }] of this.#waiting) if (rumour.peer === peer) this.#waiting.delete(key);
  }

  /** Up to `count` rumours for one message to `to`; each is dropped once it has been told often enough. */
  take(count: number, members: number): readonly Rumour[] {
    const limit = repeatsMax(members);
    const chosen = [...this.#waiting.entries()].toSorted(([, a], [, b]) => a.told - b.told).slice(0, count);
    for (const [key, waiting] of chosen) {
      waiting.told += 1;
      if (waiting.told >= limit) this.#waiting.delete(key);
    }
    return chosen.map(([, { rumour }]) => rumour);
  }

  /** A suspicion is news beside other suspicions of the same incarnation only. */
  #dropOthers(rumour: Rumour): void {
    for (const [key, { rumour: other }] of this.#waiting) {
      const beside = other.status === "suspect" && other.incarnation === rumour.incarnation;
      if (other.peer === rumour.peer && !beside) this.#waiting.delete(key);
    }
  }
}

function keyOf(rumour: Rumour): string {
  return rumour.status === "suspect" ? `${rumour.peer} ${rumour.by}` : rumour.peer;
}
