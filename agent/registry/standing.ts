import type { Feed } from "./feed.ts";
import type { Freshness } from "./freshness.ts";
import type { ConsensusLoop } from "./loop.ts";
import type { StateMachine } from "./apply.ts";
import type { Leadership } from "./submit.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { RegistryStatus } from "#agent/ports/registry.ts";
import type { Transport } from "#agent/ports/transport.ts";
import type { VoterConfig } from "#shared/consensus/messages.ts";
import { isVoter, quorumReached } from "#shared/consensus/quorum.ts";
import type { CoreStatus } from "#shared/consensus/ready.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** A leader that a majority answered within this time (two heartbeats and their way) serves what is newest. */
const FRESH_MAJORITY_MS = 500;
/** A leader that no majority has answered for this long can write no more; the core itself notices a little later. */
const LIVE_MAJORITY_MS = 1500;
/** How long a part of the configuration may be without a leader before it pulls like anybody else. */
const LEADERLESS_MS = 3000;

interface Deps {
  readonly loop: Pick<ConsensusLoop, "status" | "ended" | "silent">;
  readonly feed: Pick<Feed, "leadership" | "running" | "start" | "stop">;
  readonly machine: StateMachine;
  readonly freshness: Freshness;
  readonly clock: Clock;
  readonly transport: Pick<Transport, "self" | "connected">;
  readonly isAlive: (peer: MemberId) => boolean;
}

/** Where this agent stands: its role, whom it follows, how old its copy is, and by which way it follows the log. */
export class Standing {
  readonly #deps: Deps;
  /** When each peer's newest consensus message came. Monotonic. */
  readonly #heardAtMs = new Map<MemberId, number>();
  #leaderlessSinceMs: number | null = null;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Who leads: by consensus for those who take part, by hearsay for those who pull. */
  leadership(): Leadership {
    const { loop, feed, transport } = this.#deps;
    const { config, leader, term } = loop.status;
    if (loop.ended || this.#deposed) return { leader: null, term };
    if (leader !== null && takesPart(config, transport.self)) return { leader, term };
    const hearsay = feed.leadership;
    return feed.running && hearsay.term >= term && hearsay.leader !== transport.self
      ? hearsay
      : { leader: null, term };
  }

  ageMs(): number | null {
    const { clock, freshness } = this.#deps;
    const now = clock.monotonicMs();
    if (this.#leads && now - this.#majorityAtMs(now) < FRESH_MAJORITY_MS) return 0;
    return freshness.ageMs(now);
  }

  /** Voters that this agent cannot reach, while nobody it knows of leads. */
  missing(): MemberId[] {
    const { loop, transport, isAlive } = this.#deps;
    const { voters, outgoing } = loop.status.config;
    const connected = new Set(transport.connected());
    return [...new Set([...voters, ...outgoing])].filter(
      (peer) => peer !== transport.self && !(connected.has(peer) && isAlive(peer)),
    );
  }

  status(): RegistryStatus {
    const { loop, machine, clock, transport } = this.#deps;
    const { role, commit, config } = loop.status;
    const { leader, term } = this.leadership();
    const now = clock.monotonicMs();
    const live = !this.#leads || now - this.#majorityAtMs(now) < LIVE_MAJORITY_MS;
    const quorum = leader !== null && live;
    const votes = isVoter(config, transport.self);
    return {
      role: votes ? (loop.ended || this.#deposed ? "follower" : role) : "learner",
      term,
      leader,
      applied: machine.index,
      commit,
      config,
      ageMs: this.ageMs(),
      quorum,
      missing: quorum ? [] : this.missing(),
      halted: machine.halted,
      quarantined: machine.quarantined,
    };
  }

  /** A consensus message came from this peer, in a term that is not past. */
  heardFrom(peer: MemberId): void {
    this.#heardAtMs.set(peer, this.#deps.clock.monotonicMs());
  }

  onTurn(): void {
    const { loop, clock, freshness, machine } = this.#deps;
    const now = clock.monotonicMs();
    const majorityAtMs = this.#leads ? this.#majorityAtMs(now) : -Infinity;
    if (majorityAtMs > -Infinity) freshness.heard(loop.status.commit, majorityAtMs, machine.index);
    this.#chooseWay(loop.status, now);
  }

  get #leads(): boolean {
    const { loop } = this.#deps;
    return loop.status.role === "leader" && !loop.ended && !loop.silent;
  }

  /** A leader that fell silent leads no more, though it has not heard of its successor. */
  get #deposed(): boolean {
    const { loop } = this.#deps;
    return loop.status.role === "leader" && loop.silent;
  }

  /** The newest moment at which a majority had answered this leader, itself included. */
  #majorityAtMs(now: number): number {
    const { loop, transport } = this.#deps;
    return quorumReached(loop.status.config, (peer) =>
      peer === transport.self ? now : (this.#heardAtMs.get(peer) ?? -Infinity),
    );
  }

  /**
   * Whoever the leader does not send the log to pulls it. So does a part of the configuration that hears no leader for
   * long: it may have been voted out while it was away, and nobody will tell it otherwise. And so does one on its way out,
   * for the entry that completes that goes only to those who stay.
   */
  #chooseWay({ config, leader, role }: CoreStatus, now: number): void {
    const { feed, loop, transport } = this.#deps;
    if (loop.ended) {
      feed.stop();
      return;
    }
    if (!staysPart(config, transport.self) && role !== "leader") {
      feed.start();
      return;
    }
    if (leader !== null) {
      this.#leaderlessSinceMs = null;
      feed.stop();
      return;
    }
    this.#leaderlessSinceMs ??= now;
    if (now - this.#leaderlessSinceMs >= LEADERLESS_MS) feed.start();
  }
}

function takesPart(config: VoterConfig, self: MemberId): boolean {
  return isVoter(config, self) || config.learners.includes(self);
}

function staysPart({ voters, learners }: VoterConfig, self: MemberId): boolean {
  return voters.includes(self) || learners.includes(self);
}
