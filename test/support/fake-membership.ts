import type { HostReport, HostView, Membership, OwnHealth } from "#agent/ports/membership.ts";
import type { MemberId } from "#shared/lib/ids.ts";

const NEVER_HEARD_OF: HostView = {
  report: null,
  liveness: "unknown",
  version: null,
  lastSeenMsAgo: null,
  rttMs: null,
  clockOffsetMs: null,
  clockAlarm: false,
};

/** What one agent knows of the others: nothing but what the test lets it hear. */
export class FakeMembership implements Membership {
  /** What is held of each peer; a test may put anything here. */
  readonly views = new Map<MemberId, HostView>();
  /** What it says of itself; a test may change it. */
  health: OwnHealth = { score: 0, loopDelayMs: 0 };
  readonly #self: MemberId;
  readonly #listeners = new Set<(peer: MemberId) => void>();

  constructor(self: MemberId) {
    this.#self = self;
    this.views.set(self, {
      ...NEVER_HEARD_OF,
      liveness: "alive",
      lastSeenMsAgo: 0,
      rttMs: 0,
      clockOffsetMs: 0,
    });
  }

  view(peer: MemberId): HostView {
    return this.views.get(peer) ?? NEVER_HEARD_OF;
  }

  isAlive(peer: MemberId): boolean {
    const { liveness } = this.view(peer);
    return liveness === "alive" || liveness === "suspect";
  }

  self(): OwnHealth {
    return this.health;
  }

  /** Another host's report is not this one's to publish, and goes nowhere. */
  publish(report: HostReport): void {
    if (report.peer === this.#self) this.hear(report);
  }

  /** A report arrives: a proof of life, too. */
  hear(report: HostReport): void {
    const before = this.view(report.peer);
    const count = (before.version?.count ?? 0) + 1;
    this.views.set(report.peer, {
      ...before,
      report: structuredClone(report),
      liveness: "alive",
      version: { incarnation: 1, count },
      lastSeenMsAgo: 0,
    });
    for (const listener of this.#listeners) listener(report.peer);
  }

  onChange(listener: (peer: MemberId) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
}
