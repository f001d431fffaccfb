import type { MemberId } from "#shared/lib/ids.ts";

/** A set of members of which some can be drawn at random, at a cost that does not grow with the set. */
export class DrawSet {
  readonly #random: () => number;
  readonly #items: MemberId[] = [];
  readonly #places = new Map<MemberId, number>();

  /** `random` gives numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  get size(): number {
    return this.#items.length;
  }

  /** All of them, in no order. */
  get items(): readonly MemberId[] {
    return this.#items;
  }

  /** Puts it in or takes it out; returns whether that changed anything. */
  mark(peer: MemberId, isIn: boolean): boolean {
    const place = this.#places.get(peer);
    if ((place !== undefined) === isIn) return false;
    if (place === undefined) {
      this.#places.set(peer, this.#items.push(peer) - 1);
      return true;
    }
    this.#swap(place, this.#items.length - 1);
    this.#items.pop();
    this.#places.delete(peer);
    return true;
  }

  /** Up to `count` different ones, never `except`. */
  draw(count: number, except: MemberId | null): readonly MemberId[] {
    const drawn: MemberId[] = [];
    for (let i = 0; i < this.#items.length && drawn.length < count; i += 1) {
      this.#swap(i, i + Math.floor(this.#random() * (this.#items.length - i)));
      const peer = this.#items[i] as MemberId;
      if (peer !== except) drawn.push(peer);
    }
    return drawn;
  }

  #swap(i: number, j: number): void {
    const [a, b] = [this.#items[i] as MemberId, this.#items[j] as MemberId];
    this.#items[i] = b;
    this.#items[j] = a;
    this.#places.set(b, i);
    this.#places.set(a, j);
  }
}
