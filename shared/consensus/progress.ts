import { APPENDS_IN_FLIGHT_BYTES_MAX, APPENDS_IN_FLIGHT_MAX } from "#shared/lib/limits.ts";

import { entryBytes } from "./log.ts";
import type { Entry } from "./messages.ts";

/**
 * What the leader knows about one follower's log, and how fast it may send (dissertation §10.2.1 pipelining, with the three
 * states that practice added: see "Progress" in the documentation of etcd's raft).
 *
 * - `probe`: it is not known where the logs agree; one append at a time, until an answer or a heartbeat answer comes.
 * - `replicate`: they agree up to `match`; appends are sent ahead of the answers, up to a window.
 * - `snapshot`: the follower needs entries that are forgotten here; nothing is sent until it holds the snapshot.
 */
export class Progress {
  /** Last index known to be durable at the follower and equal to the leader's. */
  match = 0;
  /** First index not yet sent. */
  next: number;
  /** Whether it answered since the last check of the quorum. */
  active: boolean;
  /** Highest commit index it was told. */
  toldCommit = 0;
  /** Last heartbeat round it answered. */
  round = 0;
  /** An append is wanted even if it carries nothing: it asks where the logs agree. */
  nudge = true;
  #state: "probe" | "replicate" | "snapshot" = "probe";
  #probeSent = false;
  /** Appends under way, oldest first: last index, and about how many bytes. */
  #inFlight: { readonly last: number; readonly bytes: number }[] = [];
  #inFlightBytes = 0;

  constructor(next: number, active: boolean) {
    this.next = next;
    this.active = active;
  }

  get state(): "probe" | "replicate" | "snapshot" {
    return this.#state;
  }

  /** Nothing may be sent until the follower is heard from. */
  get paused(): boolean {
    switch (this.#state) {
      case "probe":
        return this.#probeSent;
      case "replicate":
        return (
          this.#inFlight.length >= APPENDS_IN_FLIGHT_MAX || this.#inFlightBytes >= APPENDS_IN_FLIGHT_BYTES_MAX
        );
      case "snapshot":
        return true;
    }
  }

  /** An append with these entries has left. */
  sent(entries: readonly Entry[]): void {
    this.nudge = false;
    if (this.#state === "probe") {
      this.#probeSent = true;
      return;
    }
    const last = entries.at(-1);
    if (last === undefined) return;
    this.next = last.index + 1;
    const bytes = entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
    this.#inFlight.push({ last: last.index, bytes });
    this.#inFlightBytes += bytes;
  }

  /** The oldest appends have arrived, or are given up. */
  #arrived(count: number): void {
    for (const { bytes } of this.#inFlight.splice(0, count)) this.#inFlightBytes -= bytes;
  }

  /** The follower's log agrees up to this index. True if that was news. */
  acknowledged(index: number, servableFrom: number): boolean {
    const news = index > this.match;
    this.match = Math.max(this.match, index);
    this.next = Math.max(this.next, this.match + 1);
    if (this.#state === "replicate") {
      const open = this.#inFlight.findIndex(({ last }) => last > index);
      this.#arrived(open === -1 ? this.#inFlight.length : open);
    } else if (this.#state === "probe" ? index === this.match : this.match + 1 >= servableFrom) {
      this.#state = "replicate";
      this.next = this.match + 1;
    }
    return news;
  }

  /**
   * The follower's log does not agree at the place it was asked about; `lastCandidate` is the last index where it might.
   * An answer from before what is known by now changes nothing.
   */
  rejected(lastCandidate: number): void {
    if (this.#state === "snapshot" || lastCandidate < this.match) return;
    const next = this.#state === "replicate" ? this.match + 1 : Math.min(this.next, lastCandidate + 1);
    this.probe(Math.max(this.match + 1, next));
  }

  /** A heartbeat came back: whatever got lost may be sent again. */
  heartbeatAnswered(round: number, last: number): void {
    this.active = true;
    this.round = Math.max(this.round, round);
    if (this.#state === "probe") this.#probeSent = false;
    if (this.#state === "replicate" && this.paused) this.#arrived(1);
    if (this.match < last) this.nudge = true;
  }

  /** Starts over, carefully. */
  probe(next: number): void {
    this.#state = "probe";
    this.#probeSent = false;
    this.#arrived(this.#inFlight.length);
    this.next = next;
    this.nudge = true;
  }

  /** The follower could not be reached or could not fetch its snapshot: wait for its next heartbeat answer. */
  unreachable(): void {
    if (this.#state === "probe") return;
    this.probe(this.match + 1);
    this.#probeSent = true;
  }

  /** It was told to fetch the snapshot. */
  awaitSnapshot(): void {
    this.#state = "snapshot";
    this.#arrived(this.#inFlight.length);
    this.nudge = false;
  }
}
