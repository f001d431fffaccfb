import type { MemberId } from "#shared/lib/ids.ts";

import { TableExchange } from "./exchange.ts";
import { outranks, type News, type Status } from "./merge.ts";
import { RUMOURS_PER_MESSAGE, type Rumour, type SwimBody, type SwimMessage } from "./messages.ts";
import { Prober } from "./prober.ts";
import { Rumours } from "./rumours.ts";
import { PROBE_PERIOD_MS } from "./suspicion.ts";
import { isLive, MemberTable, rumourOf } from "./table.ts";

/** How often the driver gives a tick, but for its rests. Milliseconds. */
export const TICK_MS = 100;
const GOSSIP_PERIOD_MS = 200;
/** Members told per gossip round. Source: memberlist `GossipNodes`. */
const GOSSIP_FANOUT = 3;
/** How often one of the dead is tried, so that a grave is never final. Milliseconds. */
const REVIVE_PERIOD_MS = 5000;
/** A tick that comes later than this shows that the agent itself was slow: what is under way gets that much longer. Milliseconds. */
const LATE_MS = 20;
/** A tick that comes as late shows that it stood still, and is not to be trusted for a while. Milliseconds. */
const STALL_MS = 250;
/**
 * How many members that hear of a suspicion try the suspect themselves, on average. Two that find it silent bring the wait to
 * its floor; with five on average, fewer than two try in one case of 25. The number does not grow with the cluster.
 */
const VERIFIERS = 5;

export type SwimEvent =
  /**
   * `wallMs`: milliseconds since the epoch. It decides nothing but whose turn it is to be probed, and may jump. `lateMs`: by how
   * much the tick comes later than it should have.
   */
  | { readonly type: "tick"; readonly nowMs: number; readonly wallMs: number; readonly lateMs: number }
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
  | { readonly type: "leave" }
  /** It is not let go, and takes its goodbye back. */
  | { readonly type: "stay" };

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
  readonly #exchange: TableExchange;
  #incarnation: number;
  #left = false;
  #nowMs = 0;
  #nextProbeMs = 0;
  #nextGossipMs = 0;
  #nextReviveMs = REVIVE_PERIOD_MS;
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
    this.#members.putSelf("alive", options.incarnation);
    this.#prober = new Prober({
      send: (to, body) => this.#send(to, body),
      ping: (to, seq) => this.#ping(to, seq),
      pick: (count, except) => this.#members.pick(count, except),
      isLost: (peer) => this.#members.get(peer)?.lost ?? true,
      onSilent: (peer) => this.#suspect(peer),
    });
    this.#exchange = new TableExchange(
      {
        self: options.self,
        send: (to, body) => this.#send(to, body),
        own: () => this.#own(),
        apply: (rumour) => this.#apply(rumour),
      },
      this.#members,
    );
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  /** 0 (well) to 8 (very slow): how far this agent distrusts itself. */
  get health(): number {
    return this.#prober.health.score;
  }

  /** For how long ticks would bring nothing, unless another event comes first; 0 while anything is under way. Milliseconds. */
  get restMs(): number {
    if (this.#prober.busy || this.#members.suspects().size > 0 || this.#rumours.waiting) return 0;
    return Math.max(0, Math.min(this.#nextProbeMs, this.#nextReviveMs) - this.#nowMs);
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
        this.#tick(event.wallMs, event.lateMs);
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
        this.#tellOwn();
        break;
      case "stay":
        if (!this.#left) break;
        this.#left = false;
        this.#incarnation += 1;
        this.#tellOwn();
        break;
    }
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #tick(wallMs: number, lateMs: number): void {
    this.#forgiveStall(lateMs);
    this.#prober.tick(this.#nowMs);
    if (this.#nowMs >= this.#nextProbeMs) {
      this.#nextProbeMs = this.#nowMs + PROBE_PERIOD_MS * this.#prober.health.stretch;
      const target = this.#members.targetIn(Math.floor(wallMs / PROBE_PERIOD_MS));
      if (target !== null) this.#prober.start(target, this.#nowMs);
    }
    this.#buryExpired();
    if (this.#nowMs >= this.#nextGossipMs && this.#rumours.waiting) {
      this.#nextGossipMs = this.#nowMs + GOSSIP_PERIOD_MS;
      for (const peer of this.#members.pick(GOSSIP_FANOUT, null)) this.#send(peer, { type: "gossip" });
    }
    if (this.#nowMs >= this.#nextReviveMs) {
      this.#nextReviveMs = this.#nowMs + REVIVE_PERIOD_MS;
      const one = this.#members.oneDead();
      // Not as a probe: its silence proves nothing new about anybody. Sequence 0 pairs with no probe.
      if (one !== null) this.#ping(one, 0);
    }
  }

  #buryExpired(): void {
    const live = this.#members.liveCount();
    for (const [peer, suspicion] of this.#members.suspects()) {
      const held = this.#members.get(peer);
      if (held === undefined || !suspicion.expired(this.#nowMs, live, held.lost)) continue;
      this.#apply({ peer, status: "dead", incarnation: held.incarnation });
    }
  }

  /** After a stall of its own (a busy loop, SIGSTOP) an agent has heard nobody, and must not blame others for it. */
  #forgiveStall(lateMs: number): void {
    if (lateMs < LATE_MS) return;
    if (lateMs >= STALL_MS) this.#prober.health.worse();
    this.#prober.postpone(lateMs);
    for (const suspicion of this.#members.suspects().values()) suspicion.postpone(lateMs);
  }

  #receive(from: MemberId, message: SwimMessage): void {
    const sender = this.#members.get(from);
    if (sender === undefined) return; // A stranger, or itself.
    this.#members.setLost(from, false);
    this.#members.heard(from, this.#nowMs);
    if (message.type === "ack") this.#acked(from, message.seq);
    // What a member says of itself needs no rumour; a goodbye comes as one.
    if (message.incarnation > sender.incarnation) {
      this.#apply({ peer: from, status: "alive", incarnation: message.incarnation });
    }
    for (const rumour of message.rumours ?? []) this.#apply(rumour);
    switch (message.type) {
      case "ping":
        this.#send(from, { type: "ack", seq: message.seq });
        this.#exchange.seen(from, message.table, this.#nowMs);
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
      case "compare":
        this.#exchange.compared(from, message.table);
        break;
      case "sync":
        this.#exchange.told(from, message.buckets, message.members);
        break;
    }
  }

  #acked(from: MemberId, seq: number): void {
    const proven = this.#prober.acked(from, seq);
    if (proven !== null) this.#members.heard(proven, this.#nowMs);
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
    this.#members.putSelf("alive", this.#incarnation);
  }

  /** Shows itself to whoever came (back); an exchange with one of them ends a partition for both sides. */
  #connected(peer: MemberId): void {
    const held = this.#members.get(peer);
    if (held === undefined) return;
    this.#members.setLost(peer, false);
    this.#ping(peer, 0);
    if (held.status === "alive" && held.incarnation > 0) return;
    this.#exchange.returned(peer, this.#nowMs);
  }

  #disconnected(peer: MemberId): void {
    const held = this.#members.get(peer);
    if (held === undefined) return;
    this.#members.setLost(peer, true);
    this.#prober.lost(peer);
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
      if (rumour.status !== "suspect" || rumour.incarnation !== held.incarnation) return;
      if (held.suspicion?.confirm(rumour.by, this.#members.liveCount()) === true) this.#rumours.add(rumour);
      return;
    }
    this.#members.put(rumour, this.#nowMs);
    this.#rumours.add(rumour);
    if (rumour.status === "alive") this.#prober.acquit(rumour.peer);
    else if (rumour.status === "suspect" && rumour.by !== this.#self) this.#verify(rumour.peer);
    this.#effects.push({ type: "changed", peer: rumour.peer });
  }

  /** Some of those who hear of a suspicion try the suspect at once: either way the matter is soon decided. */
  #verify(suspect: MemberId): void {
    if (this.#members.isAmong(VERIFIERS)) this.#prober.start(suspect, this.#nowMs);
  }

  /** Refutes what is wrongly said of this agent, by an incarnation above it (SWIM, section 4.2). */
  #answerForSelf(rumour: News): void {
    if (this.#left) return;
    const harmless = rumour.status === "alive" && rumour.incarnation <= this.#incarnation;
    if (harmless || rumour.incarnation < this.#incarnation) return;
    this.#incarnation = rumour.incarnation + 1;
    this.#tellOwn();
    this.#prober.health.worse(); // Others found this agent slow; Lifeguard, section IV-A.
  }

  #own(): Rumour {
    return { peer: this.#self, status: this.#left ? "left" : "alive", incarnation: this.#incarnation };
  }

  #tellOwn(): void {
    const own = this.#own();
    this.#members.putSelf(own.status, own.incarnation);
    this.#rumours.add(own);
  }

  #ping(to: MemberId, seq: number): void {
    this.#send(to, { type: "ping", seq, table: this.#members.hashes.whole });
  }

  /** Whoever is suspected hears it first, with any message to it (Lifeguard, section IV-C: buddy system). */
  #send(to: MemberId, body: SwimBody): void {
    const held = this.#members.get(to);
    const rumours = [...this.#rumours.take(RUMOURS_PER_MESSAGE, this.#members.liveCount())];
    if (held !== undefined && held.status !== "alive" && !rumours.some(({ peer }) => peer === to)) {
      rumours.unshift(rumourOf(to, held));
    }
    const message = { ...body, incarnation: this.#incarnation };
    this.#effects.push({ type: "send", to, message: rumours.length > 0 ? { ...message, rumours } : message });
  }
}
