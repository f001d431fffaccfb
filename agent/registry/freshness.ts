/**
 * How old a copy is: when this agent last knew that it had applied everything the leader had committed.
 *
 * Sources are the commit indexes in a leader's messages and in answers to pulls. A heartbeat carries no more than what the
 * leader knows to be here, so a follower that lost an append may call itself fresh until the leader repeats it, a
 * heartbeat later.
 */
export class Freshness {
  #freshAt: number | null = null;
  /** A commit index that is not applied here yet, and when the leader had it; the oldest such. */
  #ahead: { readonly commit: number; readonly atMs: number } | null = null;

  /** At `atMs` (monotonic) the leader had committed up to `commit`; this agent has applied up to `applied`. */
  heard(commit: number, atMs: number, applied: number): void {
    this.appliedTo(applied);
    if (commit > applied) this.#ahead ??= { commit, atMs };
    else if (this.#ahead === null) this.#freshSince(atMs);
  }

  appliedTo(index: number): void {
    if (this.#ahead === null || this.#ahead.commit > index) return;
    this.#freshSince(this.#ahead.atMs);
    this.#ahead = null;
  }

  /** Null when it never knew. */
  ageMs(nowMs: number): number | null {
    return this.#freshAt === null ? null : Math.max(0, nowMs - this.#freshAt);
  }

  #freshSince(atMs: number): void {
    this.#freshAt = Math.max(this.#freshAt ?? atMs, atMs);
  }
}
