import type { MemberId } from "#shared/lib/ids.ts";
import type { HostFacts } from "#shared/model/hardware.ts";

export type Liveness = "alive" | "suspect" | "dead" | "left" | "unknown";

/** What one host says of itself beside its hardware; host-owned, gossiped. */
export interface HostReport {
  readonly peer: MemberId;
  readonly name: string;
  readonly facts: HostFacts;
  readonly apiUrls: readonly string[];
  readonly meshAddrs: readonly string[];
}

export interface HostView {
  readonly report: HostReport | null;
  readonly liveness: Liveness;
  /** Order of reports of one host: (starts of its agent, count since). */
  readonly version: { readonly incarnation: number; readonly count: number } | null;
  /** Monotonic milliseconds since this agent last had direct or gossiped proof of life; null if never. */
  readonly lastSeenMsAgo: number | null;
  /** Round trip and clock offset as measured from here (positive: the peer's clock is ahead). */
  readonly rttMs: number | null;
  readonly clockOffsetMs: number | null;
  /** Its clock and this agent's are so far apart that an operator should look; false while that is not known. */
  readonly clockAlarm: boolean;
}

/** How well this agent itself is, as its own membership protocol judges. */
export interface OwnHealth {
  /** 0 (well) to 8 (very slow): by so many times, and once more, its own timeouts are stretched (Lifeguard, section IV-A). */
  readonly score: number;
  /** The latest that any timer of it came within the last ten to twenty seconds. Milliseconds. */
  readonly loopDelayMs: number;
}

/** Liveness of all members and the facts they publish. It elects nobody. */
export interface Membership {
  view(peer: MemberId): HostView;
  /** Whether a member was heard of and is not known to be dead. A suspect still counts. */
  isAlive(peer: MemberId): boolean;
  self(): OwnHealth;
  /** Publishes this host's own facts to all agents. */
  publish(report: HostReport): void;
  onChange(listener: (peer: MemberId) => void): Disposable;
}
