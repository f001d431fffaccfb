import type { MemberId } from "#shared/lib/ids.ts";

import type { Rumour } from "./messages.ts";

/** Times a rumour is passed on, per decade of members. Source: memberlist `RetransmitMult` on a LAN. */
const REPEATS_FACTOR = 4;

/** How often each agent passes a rumour on, so that all of that many members hear it with high probability. */
export function repeatsMax(members: number): number {
  return REPEATS_FACTOR * Math.ceil(Math.log10(members + 1));
}

interface Waiting {
  readonly key: string;
  readonly rumour: Rumour;
  told: number;
}

/**
 * News still to be passed on, the least told first. A newer rumour about a member replaces the older ones; only suspicions
 * of different accusers stand beside each other, for each of them counts.
 */
export class Rumours {
  /** By how often they were told. To take some costs as much as is taken, however many wait. */
  readonly #levels: Map<string, Waiting>[] = [];
  readonly #about = new Map<MemberId, Waiting[]>();

  /** Whether there is something to tell. */
  get waiting(): boolean {
    return this.#about.size > 0;
  }

  add(rumour: Rumour): void {
    const key = keyOf(rumour);
    const others = this.#about.get(rumour.peer) ?? [];
    const kept = others.filter((other) => other.key !== key && standBeside(rumour, other.rumour));
    for (const other of others) if (!kept.includes(other)) this.#levels[other.told]?.delete(other.key);
    const waiting = { key, rumour, told: 0 };
    this.#about.set(rumour.peer, [...kept, waiting]);
    this.#level(0).set(key, waiting);
  }

  /** Nothing about this member is passed on any more. */
  forget(peer: MemberId): void {
    for (const { key, told } of this.#about.get(peer) ?? []) this.#levels[told]?.delete(key);
    this.#about.delete(peer);
  }

  /** Up to `count` rumours for one message; each is dropped once it has been told often enough. */
  take(count: number, members: number): readonly Rumour[] {
    const chosen: Waiting[] = [];
    for (const level of this.#levels) {
      for (const waiting of level.values()) {
        if (chosen.length >= count) break;
        chosen.push(waiting);
      }
    }
    const limit = repeatsMax(members);
    for (const waiting of chosen) {
      this.#levels[waiting.told]?.delete(waiting.key);
      waiting.told += 1;
      if (waiting.told < limit) this.#level(waiting.told).set(waiting.key, waiting);
      else this.#drop(waiting);
    }
    return chosen.map(({ rumour }) => rumour);
  }

  #drop(waiting: Waiting): void {
    const { peer } = waiting.rumour;
    const rest = (this.#about.get(peer) ?? []).filter((other) => other !== waiting);
    if (rest.length > 0) this.#about.set(peer, rest);
    else this.#about.delete(peer);
  }

  #level(told: number): Map<string, Waiting> {
    return (this.#levels[told] ??= new Map<string, Waiting>());
  }
}

/** A suspicion is news beside other suspicions of the same incarnation only. */
function standBeside(rumour: Rumour, other: Rumour): boolean {
  return (
    rumour.status === "suspect" && other.status === "suspect" && other.incarnation === rumour.incarnation
  );
}

function keyOf(rumour: Rumour): string {
  return rumour.status === "suspect" ? `${rumour.peer} ${rumour.by}` : rumour.peer;
}
