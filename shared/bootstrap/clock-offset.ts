/** Four readings of two clocks around one exchange, all in milliseconds since the epoch. */
export interface ClockReadings {
  /** Asker's clock when it asked. */
  readonly sentAt: number;
  /** Answerer's clock when it heard that. */
  readonly heardAt: number;
  /** Answerer's clock when it answered. */
  readonly askedAt: number;
  /** Asker's clock when it got the answer. */
  readonly gotAt: number;
}

/**
 * How far the asker's clock is ahead of the answerer's (negative: behind), in whole milliseconds; off by at most half the
 * round trip. Source: NTP, RFC 5905, section 8, `theta`, with the sign as seen from the answerer.
 */
export function clockOffsetMs({ sentAt, heardAt, askedAt, gotAt }: ClockReadings): number {
  return Math.round((sentAt - heardAt + (gotAt - askedAt)) / 2);
}
