import { Fence, type Participation } from "./fence.ts";
import { Inquiry } from "./inquiry.ts";
import type { Bootstrap, Departure as DeparturePort } from "#agent/ports/bootstrap.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Registry, Voting } from "#agent/ports/registry.ts";
import type { IdentityStore } from "#agent/ports/store.ts";
import type { StrangerTransport, Transport } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { nameOf } from "#shared/registry/queries/members.ts";

/** Longest for this host to go back to `idle` once the cluster has let it go. Milliseconds. */
const IDLE_MS_MAX = 10_000;
/** How long a goodbye is left to spread before this host is taken out. Milliseconds. */
const GOODBYE_MS = 400;
/** Longest the removal may take to be committed. Milliseconds. */
const COMMIT_MS_MAX = 10_000;

const REASONS = {
  left: "this host left its cluster; it can create or join one anew",
  removed: "this host was removed from its cluster; it can create or join one anew",
  away: "this host was removed from its cluster while it was away; it can create or join one anew",
} as const;

/** What ways out of a cluster need of the rest of the agent. */
export interface DepartureDeps {
  readonly self: MemberId;
  readonly transport: Pick<StrangerTransport, "openJoin"> & Pick<Transport, "onPeer">;
  readonly registry: Registry;
  readonly participation: Participation;
  readonly voting: Voting;
  readonly identity: Pick<IdentityStore, "cluster">;
  readonly membership: { isAlive(peer: MemberId): boolean; leave(): void; stay(): void };
  readonly bootstrap: Bootstrap & { removed(reason: string): Promise<void> };
  readonly clock: Clock;
  readonly log: Log;
}

type WriteOptions = Parameters<Registry["submit"]>[1];

/**
 * The ways out of a cluster: leaving it, taking another member out of it, hearing that one was taken out oneself, and hearing
 * that it was recovered without this host (fence.ts). In the first two the vote goes first, so that the cluster never counts on somebody who is gone.
 */
export class Departure implements DeparturePort, AsyncDisposable {
  readonly #deps: DepartureDeps;
  readonly #inquiry: Inquiry;
  readonly #fence: Fence;
  #watch: Disposable | null = null;
  #leaving = false;

  constructor(deps: DepartureDeps) {
    this.#deps = deps;
    this.#fence = new Fence(deps);
    this.#inquiry = new Inquiry({
      ...deps,
      isMember: () => deps.bootstrap.state.name === "completed",
      onRemoved: () => deps.bootstrap.removed(this.#leaving ? REASONS.left : REASONS.away),
      onOutlived: (peer, incarnation) => this.#fence.outlived(peer, incarnation),
    });
  }

  /** Hears of this host's own removal from now on. */
  start(): void {
    const { registry, self } = this.#deps;
    this.#watch = registry.onChange((changes) => {
      if (changes.some(({ topic, op, id }) => topic === "members" && op === "delete" && id === self)) {
        this.#removed();
      }
    });
    this.#fence.start();
    this.#inquiry.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    this.#fence[Symbol.dispose]();
    await this.#inquiry[Symbol.asyncDispose]();
  }

  async leave(options: WriteOptions): Promise<void> {
    const { registry, membership, voting, bootstrap, clock, self } = this.#deps;
    const refuse = (reason: string): AppError =>
      new AppError("change_refused", { what: "leave the cluster", reason });
    if (registry.state.members.size === 1) throw refuse("this host is the last member of it");
    if (this.#leaving) throw refuse("it is leaving already");
    this.#leaving = true;
    try {
      const { leader, config } = registry.status();
      if (leader === self && config.voters.length > 1) await voting.lead(null);
      await voting.voteOut(self);
      membership.leave();
      await clock.sleep(GOODBYE_MS);
      await this.#takeOut(self, options).catch((error: unknown) => {
        // The others may have hung up before they could say that it is done.
        if (bootstrap.state.name === "idle") return;
        // A member that has said goodbye would get no vote ever again. Should it be taken out yet, staying harms nobody.
        membership.stay();
        throw error;
      });
      await this.#untilIdle();
    } finally {
      this.#leaving = false;
    }
  }

  async remove(
    peer: MemberId,
    { force, ...options }: WriteOptions & { readonly force: boolean },
  ): Promise<void> {
    const { registry, membership, voting, self } = this.#deps;
    const { members } = registry.state;
    if (members.size > 1) {
      const name = nameOf(registry.state, peer);
      // The same answer whichever agent is asked, so that nobody leaves because a request for another one's name went astray.
      if ((peer === self || membership.isAlive(peer)) && !force) {
        const reason = "it is alive; let it leave by itself, or force its removal";
        throw new AppError("change_refused", { what: `remove ${name}`, reason });
      }
      if (peer === self) return this.leave(options);
      const { voters, outgoing, learners } = registry.status().config;
      if ([...voters, ...outgoing, ...learners].includes(peer)) await voting.voteOut(peer);
    }
    await this.#takeOut(peer, options);
  }

  async #takeOut(peer: MemberId, options: WriteOptions): Promise<void> {
    const { registry } = this.#deps;
    const { result } = await registry.submit(
      { type: "member.remove", peer },
      { timeoutMs: COMMIT_MS_MAX, ...options },
    );
    if (!result.ok) throw AppError.of(result.refusal);
  }

  #removed(): void {
    const { bootstrap, log } = this.#deps;
    const reason = this.#leaving ? REASONS.left : REASONS.removed;
    log.warn({ reason }, "out of the cluster");
    bootstrap.removed(reason).catch((error: unknown) => {
      log.error({ err: error }, "out of the cluster, but the disk could not be told; restart the agent");
    });
  }

  /** Resolves when the removal has been taken note of on this host's disk. */
  async #untilIdle(): Promise<void> {
    const { bootstrap, clock } = this.#deps;
    const idle = Promise.withResolvers<void>();
    using _watch = bootstrap.onChange(({ name }) => {
      if (name === "idle") idle.resolve();
    });
    if (bootstrap.state.name === "idle") return;
    const over = new AbortController();
    const late = clock.sleep(IDLE_MS_MAX, over.signal);
    late.catch(() => undefined);
    await Promise.race([idle.promise, late]);
    over.abort();
  }
}
