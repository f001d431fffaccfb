import type { Log } from "#agent/ports/log.ts";
import type { MemberId } from "#shared/lib/ids.ts";

import type { RoundTrip } from "./round-trips.ts";

/**
 * Apart by so much, two clocks are no longer set by the same source: NTP on a LAN keeps them within 10 ms, over the internet
 * within 100 ms. Nothing in the protocol depends on clocks, but times in the registry are the leader's, and joins are refused
 * at 5 s. Milliseconds.
 */
const ALARM_MS = 250;
/** Back below this the alarm ends, so that one that wavers about the limit is told once. Milliseconds. */
const CALM_MS = 200;
/** One answer that waited in a queue for 500 ms looks like an offset of 250 ms; so many do not by chance. */
const SAMPLES_MIN = 3;

/** Tells an operator when another host's clock and this one's are far apart, and when that is over. */
export class ClockWatch {
  readonly #log: Log;
  readonly #alarming = new Set<MemberId>();

  constructor(deps: { readonly log: Log }) {
    this.#log = deps.log;
  }

  isAlarming(peer: MemberId): boolean {
    return this.#alarming.has(peer);
  }

  look(
    who: { readonly peer: MemberId; readonly member: string | undefined },
    { offsetMs, rttMs, samples }: RoundTrip,
  ): void {
    const fields = { ...who, offset_ms: Math.round(offsetMs), rtt_ms: Math.round(rttMs) };
    if (this.#alarming.has(who.peer)) {
      if (Math.abs(offsetMs) >= CALM_MS) return;
      this.#alarming.delete(who.peer);
      this.#log.info(fields, "the clocks of that host and this one agree again");
    } else if (samples >= SAMPLES_MIN && Math.abs(offsetMs) >= ALARM_MS) {
      this.#alarming.add(who.peer);
      this.#log.warn(
        fields,
        "the clocks of that host and this one are far apart; check time synchronization on both",
      );
    }
  }

  /** Forgets all but these. */
  keep(peers: ReadonlySet<MemberId>): void {
    for (const peer of this.#alarming) if (!peers.has(peer)) this.#alarming.delete(peer);
  }
}
