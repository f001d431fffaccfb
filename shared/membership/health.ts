const SCORE_MAX = 8;

/**
 * This agent's opinion of itself: 0 is well, 8 is very slow. What it does wait for is stretched by it, so that a slow agent
 * does not accuse quick ones. Source: Lifeguard, section IV-A (local health multiplier, S = 8).
 */
export class LocalHealth {
  #score = 0;

  get score(): number {
    return this.#score;
  }

  /** What every timeout and the probe period are multiplied by. */
  get stretch(): number {
    return this.#score + 1;
  }

  worse(by = 1): void {
    this.#score = Math.min(SCORE_MAX, this.#score + by);
  }

  better(): void {
    this.#score = Math.max(0, this.#score - 1);
  }
}
