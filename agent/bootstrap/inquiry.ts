import { MembershipReply, receive, type MembershipQuestion } from "./join-messages.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Registry } from "#agent/ports/registry.ts";
import type { IdentityStore } from "#agent/ports/store.ts";
import type { StrangerTransport } from "#agent/ports/transport.ts";
import { isRemoved, outlivedBy, type MembershipAnswer } from "#shared/bootstrap/removal.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Member } from "#shared/registry/state.ts";

/** How often an agent that hears nothing of its cluster asks. Milliseconds. */
const ASK_EVERY_MS = 3000;
/** How old its copy must be before it begins to wonder. Milliseconds. */
const STALE_MS = 5000;
/** Longest for one member to be reached and to answer. Milliseconds. */
const ANSWER_MS_MAX = 4000;
/** Members asked in one round; the next round asks the next ones. */
const ASKED_MAX = 16;

interface Deps {
  readonly self: MemberId;
  readonly transport: Pick<StrangerTransport, "openJoin">;
  readonly registry: Registry;
  readonly identity: Pick<IdentityStore, "cluster">;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether this agent believes to be a member. */
  readonly isMember: () => boolean;
  /** Enough members say that it was removed. */
  readonly onRemoved: () => Promise<void>;
  /** A member says that the cluster was recovered since, without this host. */
  readonly onOutlived: (peer: MemberId, incarnation: number) => Promise<void>;
}

/**
 * For an agent that was away while it was removed, or while the cluster was recovered: to the members it is a stranger now, and nobody sends it the entry that
 * says so. When it hears nothing of its cluster for a while it asks them, over the one protocol that strangers reach.
 * Whom it believes is said in shared/bootstrap/removal.ts.
 */
export class Inquiry implements AsyncDisposable {
  readonly #deps: Deps;
  readonly #stop = new AbortController();
  #ticking: Disposable | null = null;
  #round: Promise<void> | null = null;
  #turn = 0;
  /** Since when nothing of the cluster is heard. Monotonic. */
  #lostSinceMs: number | null = null;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    const { clock } = this.#deps;
    this.#ticking = clock.every(ASK_EVERY_MS, () => {
      this.#lostSinceMs = this.#isLost() ? (this.#lostSinceMs ?? clock.monotonicMs()) : null;
      if (this.#round !== null || this.#lostSinceMs === null) return;
      this.#round = this.#ask()
        .catch((error: unknown) => {
          if (!this.#stop.signal.aborted) this.#deps.log.warn({ err: error }, "could not ask for membership");
        })
        .finally(() => {
          this.#round = null;
        });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ticking?.[Symbol.dispose]();
    this.#stop.abort();
    await this.#round;
  }

  #isLost(): boolean {
    const { registry, isMember, self } = this.#deps;
    if (!isMember() || !registry.state.members.has(self) || registry.state.members.size < 2) return false;
    const { leader, ageMs, halted } = registry.status();
    return leader === null && halted === null && (ageMs === null || ageMs > STALE_MS);
  }

  async #ask(): Promise<void> {
    const { registry, identity, self, clock, log, onRemoved, onOutlived } = this.#deps;
    const cluster = await identity.cluster();
    if (cluster === null) return;
    const others = [...registry.state.members.values()].filter(({ peer }) => peer !== self);
    const asked = this.#choose(others);
    const { clusterId, incarnation } = cluster;
    const question: MembershipQuestion = { v: 1, ask: "membership", cluster_id: clusterId, incarnation };
    const replies = await Promise.all(asked.map((member) => this.#askOne(member, question)));
    const answers = replies.filter((reply) => reply !== null);
    const own = {
      clusterId,
      incarnation,
      index: registry.state.index,
      others: new Set(others.map(({ peer }) => peer)),
      lostForMs: clock.monotonicMs() - (this.#lostSinceMs ?? clock.monotonicMs()),
    };
    if (this.#stop.signal.aborted) return;
    const outlived = outlivedBy(own, answers);
    if (outlived !== null) {
      await onOutlived(outlived.peer, outlived.incarnation);
      return;
    }
    if (!isRemoved(own, answers)) return;
    log.warn({ cluster: clusterId, witnesses: answers.length }, "the members say that this host was removed");
    await onRemoved();
  }

  /** All in turn, when they are more than one round takes. */
  #choose(others: readonly Member[]): readonly Member[] {
    const from = this.#turn % others.length;
    this.#turn = (from + ASKED_MAX) % Math.max(1, others.length);
    return [...others.slice(from), ...others.slice(0, from)].slice(0, ASKED_MAX);
  }

  /** Null: no answer, or none that counts. */
  async #askOne(member: Member, question: MembershipQuestion): Promise<MembershipAnswer | null> {
    const { transport, clock, log } = this.#deps;
    const { peer, mesh_addrs: meshAddrs } = member;
    const over = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, over.signal]);
    const late = clock.sleep(ANSWER_MS_MAX, signal).then(
      () => over.abort(),
      () => undefined,
    );
    try {
      await using channel = await transport.openJoin({ peer, meshAddrs }, signal);
      await channel.send(question);
      const reply = await receive(channel, MembershipReply, { timeoutMs: ANSWER_MS_MAX, signal });
      return {
        peer: channel.remote,
        clusterId: reply.cluster_id,
        incarnation: reply.incarnation,
        removedAt: reply.removed_at,
      };
    } catch (error) {
      log.debug({ peer, err: error }, "a member did not say whether this host belongs to the cluster");
      return null;
    } finally {
      over.abort();
      await late;
    }
  }
}
