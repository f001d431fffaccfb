import type { MemberId } from "#shared/lib/ids.ts";

import { outranks, type News, type Status } from "./merge.ts";
import { RUMOURS_PER_MESSAGE, type Rumour, type SwimBody, type SwimMessage } from "./messages.ts";
import { Prober } from "./prober.ts";
import { Rumours } from "./rumours.ts";
import { PROBE_PERIOD_MS, Suspicion } from "./suspicion.ts";
import { isLive, MemberTable } from "./table.ts";

/** How often the driver gives a tick. Milliseconds. */
export const TICK_MS = 100;
const GOSSIP_PERIOD_MS = 200;
/** Members told per gossip round. Source: memberlist `GossipNodes`. */
const GOSSIP_FANOUT = 3;
const SYNC_PERIOD_MS = 30_000;
/** Least time between full exchanges that returning members set off: one of them brings the news of all. Milliseconds. */
const RETURN_SYNC_MS = 1000;
/** How often one of the dead is tried, so that a grave is never final. Milliseconds. */
const REVIVE_PERIOD_MS = 5000;
/** A tick that comes later than this shows that the agent itself stood still. Milliseconds. */
const STALL_MS = 250;

export type SwimEvent =
  | { readonly type: "tick"; readonly nowMs: number }
  | {
      readonly type: "received";
      readonly from: MemberId;
      readonly message: SwimMessage;
      readonly nowMs: number;
    }
  /** Who belongs to the cluster, by the registry, this agent among them; nobody when it belongs to none. */
  | { readonly type: "members"; readonly peers: readonly MemberId[] }
  | { readonly type: "connected"; readonly peer: MemberId; readonly nowMs: number }
  | { readonly type: "disconnected"; readonly peer: MemberId; readonly nowMs: number }
  /** This member leaves the cluster for good. Stopping is not leaving. */
  | { readonly type: "leave" };

export type SwimEffect =
  | { readonly type: "send"; readonly to: MemberId; readonly message: SwimMessage }
  | { readonly type: "changed"; readonly peer: MemberId };

export interface MemberView {
  readonly status: Status;
  /** 0: nobody has heard of it yet. */
  readonly incarnation: number;
  /** When there was last proof of life, direct or by rumour; null if never. Same clock as the events. */
  readonly heardMs: number | null;
}

/**
 * Who is there: SWIM with Lifeguard's extensions, as one agent runs it. Pure: time comes with the events, chance from the
 * function given, and what is to be sent goes out as effects.
 *
 * Source: Das, Gupta, Motivala, "SWIM" (DSN 2002); Dadgar, Phillips, Currey, "Lifeguard" (DSN-W 2018); constants of HashiCorp's memberlist.
 * Invariants: only members of the registry are known; only a member raises its own incarnation; nobody is declared dead
 * before a suspicion ran out; it elects nobody.
 */
export class Swim {
  readonly #self: MemberId;
  readonly #members: MemberTable;
  readonly #rumours = new Rumours();
  readonly #prober: Prober;
  #incarnation: number;
  #left = false;
  #nowMs = 0;
  #lastTickMs: number | null = null;
  #nextProbeMs = 0;
  #nextGossipMs = 0;
  #nextSyncMs = SYNC_PERIOD_MS;
  #nextReviveMs = REVIVE_PERIOD_MS;
  #lastReturnSyncMs = Number.NEGATIVE_INFINITY;
  #effects: SwimEffect[] = [];

  /**
   * `incarnation` must outrank all that this member had in earlier lives. `random` gives numbers in [0, 1).
   */
  constructor(options: {
    readonly self: MemberId;
    readonly incarnation: number;
    readonly random: () => number;
  }) {
    this.#self = options.self;
    this.#incarnation = options.incarnation;
    this.#members = new MemberTable(options.self, options.random);
    this.#prober = new Prober({
      send: (to, body) => this.#send(to, body),
      pick: (count, except) => this.#members.pick(count, except),
      isLost: (peer) => this.#members.get(peer)?.lost ?? true,
      onSilent: (peer) => this.#suspect(peer),
    });
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  /** 0 (well) to 8 (very slow): how far this agent distrusts itself. */
  get health(): number {
    return this.#prober.health.score;
  }

  /** Null for a stranger. Of itself an agent knows that it is alive. */
  view(peer: MemberId): MemberView | null {
    if (peer !== this.#self) return this.#members.get(peer) ?? null;
    return { status: this.#left ? "left" : "alive", incarnation: this.#incarnation, heardMs: this.#nowMs };
  }

  step(event: SwimEvent): readonly SwimEffect[] {
    if ("nowMs" in event) this.#nowMs = event.nowMs;
    switch (event.type) {
      case "tick":
        this.#tick();
        break;
      case "received":
        this.#receive(event.from, event.message);
        break;
      case "members":
        this.#setMembers(event.peers);
        break;
      case "connected":
        this.#connected(event.peer);
        break;
      case "disconnected":
        this.#disconnected(event.peer);
        break;
      case "leave":
        this.#left = true;
        this.#rumours.add(this.#own());
        break;
    }
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #tick(): void {
    this.#forgiveStall();
    this.#prober.tick(this.#nowMs);
    if (this.#nowMs >= this.#nextProbeMs) {
      this.#nextProbeMs = this.#nowMs + PROBE_PERIOD_MS * this.#prober.health.stretch;
      const target = this.#members.nextTarget();
      if (target !== null) this.#prober.start(target, this.#nowMs);
    }
    const live = this.#members.liveCount();
    for (const [peer, held] of this.#members.entries()) {
      if (held.suspicion?.expired(this.#nowMs, live, held.lost) === true) {
        this.#apply({ peer, status: "dead", incarnation: held.incarnation, by: this.#self });
      }
    }
    if (this.#nowMs >= this.#nextGossipMs && this.#rumours.size > 0) {
      this.#nextGossipMs = this.#nowMs + GOSSIP_PERIOD_MS;
      for (const peer of this.#members.pick(GOSSIP_FANOUT, null)) this.#send(peer, { type: "gossip" });
    }
    if (this.#nowMs >= this.#nextSyncMs) {
      this.#nextSyncMs = this.#nowMs + SYNC_PERIOD_MS;
      for (const peer of this.#members.pick(1, null)) this.#sync(peer, true);
    }
    if (this.#nowMs >= this.#nextReviveMs) {
      this.#nextReviveMs = this.#nowMs + REVIVE_PERIOD_MS;
      const one = this.#members.oneDead();
      // Not as a probe: its silence proves nothing new about anybody. Sequence 0 pairs with no probe.
      if (one !== null) this.#send(one, { type: "ping", seq: 0 });
    }
  }

  /** After a stall of its own (a busy loop, SIGSTOP) an agent has heard nobody, and must not blame others for it. */
  #forgiveStall(): void {
    const lateMs = this.#lastTickMs === null ? 0 : this.#nowMs - this.#lastTickMs - TICK_MS;
    this.#lastTickMs = this.#nowMs;
    if (lateMs < STALL_MS) return;
    this.#prober.health.worse();
    this.#prober.postpone(lateMs);
    for (const [, { suspicion }] of this.#members.entries()) suspicion?.postpone(lateMs);
  }

  #receive(from: MemberId, message: SwimMessage): void {
    const sender = this.#members.get(from);
    if (sender === undefined) return; // A stranger, or itself.
    sender.lost = false;
    sender.heardMs = this.#nowMs;
    if (message.type === "ack") this.#acked(from, message.seq);
    // What a member says of itself needs no rumour; a goodbye comes as one.
    if (message.incarnation > sender.incarnation) {
      this.#apply({ peer: from, status: "alive", incarnation: message.incarnation, by: from });
    }
    for (const rumour of message.rumours) this.#apply(rumour);
    switch (message.type) {
      case "ping":
        this.#send(from, { type: "ack", seq: message.seq });
        break;
      case "ping_req":
        if (this.#members.get(message.target) !== undefined) {
          this.#prober.runErrand(from, message.seq, message.target, this.#nowMs);
        }
        break;
      case "nack":
        this.#prober.nacked(from, message.seq);
        break;
      case "ack":
      case "gossip":
        break;
      case "sync":
        for (const rumour of message.members) this.#apply(rumour);
        if (message.wants_reply) this.#sync(from, false);
        break;
    }
  }

  #acked(from: MemberId, seq: number): void {
    const proven = this.#prober.acked(from, seq);
    const held = proven === null ? undefined : this.#members.get(proven);
    if (held !== undefined) held.heardMs = this.#nowMs;
  }

  #setMembers(peers: readonly MemberId[]): void {
    for (const gone of this.#members.replace(peers)) {
      this.#rumours.forget(gone);
      this.#prober.forget(gone);
    }
    if (peers.length > 0) return;
    // Out of one cluster it may join another, or this one anew: its goodbye is over, and outranked.
    this.#rumours.forget(this.#self);
    this.#left = false;
    this.#incarnation += 1;
  }

  /** Shows itself to whoever came (back); one full exchange with one of them ends a partition for both sides. */
  #connected(peer: MemberId): void {
    const held = this.#members.get(peer);
    if (held === undefined) return;
    held.lost = false;
    this.#send(peer, { type: "ping", seq: 0 });
    if (held.status === "alive" && held.incarnation > 0) return;
    if (this.#nowMs - this.#lastReturnSyncMs < RETURN_SYNC_MS) return;
    this.#lastReturnSyncMs = this.#nowMs;
    this.#sync(peer, true);
  }

  #disconnected(peer: MemberId): void {
    const held = this.#members.get(peer);
    if (held === undefined) return;
    held.lost = true;
    if (isLive(held.status)) this.#prober.start(peer, this.#nowMs);
  }

  #suspect(peer: MemberId): void {
    const held = this.#members.get(peer);
    if (held === undefined || !isLive(held.status)) return;
    this.#apply({ peer, status: "suspect", incarnation: held.incarnation, by: this.#self });
  }

  /** Takes news in, whoever it is from, and passes on what was new. */
  #apply(rumour: Rumour): void {
    if (rumour.peer === this.#self) {
      this.#answerForSelf(rumour);
      return;
    }
    const held = this.#members.get(rumour.peer);
    if (held === undefined) return;
    if (!outranks(rumour, held)) {
      const same = rumour.status === "suspect" && rumour.incarnation === held.incarnation;
      if (same && held.suspicion?.confirm(rumour.by, this.#members.liveCount()) === true)
        this.#rumours.add(rumour);
      return;
    }
    if (rumour.status === "alive") {
      held.heardMs = this.#nowMs;
      this.#prober.acquit(rumour.peer);
    }
    held.incarnation = rumour.incarnation;
    held.status = rumour.status;
    held.by = rumour.by;
    held.suspicion = rumour.status === "suspect" ? new Suspicion(rumour.by, this.#nowMs) : null;
    this.#rumours.add(rumour);
    this.#effects.push({ type: "changed", peer: rumour.peer });
  }

  /** Refutes what is wrongly said of this agent, by an incarnation above it (SWIM, section 4.2). */
  #answerForSelf(rumour: News): void {
    if (this.#left) return;
    const harmless = rumour.status === "alive" && rumour.incarnation <= this.#incarnation;
    if (harmless || rumour.incarnation < this.#incarnation) return;
    this.#incarnation = rumour.incarnation + 1;
    this.#rumours.add(this.#own());
    this.#prober.health.worse(); // Others found this agent slow; Lifeguard, section IV-A.
  }

  #own(): Rumour {
    return {
      peer: this.#self,
      status: this.#left ? "left" : "alive",
      incarnation: this.#incarnation,
      by: this.#self,
    };
  }

  #sync(to: MemberId, wantsReply: boolean): void {
    const members: Rumour[] = [this.#own()];
    for (const [peer, { status, incarnation, by }] of this.#members.entries()) {
      if (incarnation > 0) members.push({ peer, status, incarnation, by });
    }
    this.#send(to, { type: "sync", wants_reply: wantsReply, members });
  }

  /** Whoever is suspected hears it first, with any message to it (Lifeguard, section IV-C: buddy system). */
  #send(to: MemberId, body: SwimBody): void {
    const held = this.#members.get(to);
    const rumours = [...this.#rumours.take(RUMOURS_PER_MESSAGE, this.#members.liveCount())];
    if (held !== undefined && held.status !== "alive" && !rumours.some(({ peer }) => peer === to)) {
      rumours.unshift({ peer: to, status: held.status, incarnation: held.incarnation, by: held.by });
    }
    const message = { ...body, incarnation: this.#incarnation, rumours };
    this.#effects.push({ type: "send", to, message });
  }
}
