import { outranks } from "#shared/membership/merge.ts";
import type { Rumour, SwimBody, SwimMessage } from "#shared/membership/messages.ts";
import { Rumours } from "#shared/membership/rumours.ts";
import type { MemberView, SwimEffect, SwimEvent } from "#shared/membership/swim.ts";
import { isLive, MemberTable } from "#shared/membership/table.ts";

import type { Machine } from "./membership-world.ts";

const PERIOD_MS = 1000;
const DIRECT_MS = 500;
const HELPERS = 3;
const GOSSIP_MS = 200;
const RUMOURS = 16;
/** Source: memberlist before Lifeguard, `SuspicionMult` on a LAN. */
const SUSPICION_FACTOR = 4;

/**
 * SWIM as in the paper of 2002, without anything that came after it: what Lifeguard is measured against. A probe fails at the
 * end of its period, a suspect is dead after a fixed time, and whatever an agent does not hear is the others' fault.
 */
export class PlainSwim implements Machine {
  readonly #self: string;
  readonly #members: MemberTable;
  readonly #rumours = new Rumours();
  readonly #probes = new Map<number, { readonly target: string; readonly startMs: number; asked: boolean }>();
  readonly #errands = new Map<number, { readonly origin: string; readonly seq: number }>();
  readonly #suspectedMs = new Map<string, number>();
  readonly health = 0;
  readonly restMs = 0;
  incarnation: number;
  #seq = 0;
  #nowMs = 0;
  #nextProbeMs = 0;
  #nextGossipMs = 0;
  #effects: SwimEffect[] = [];

  constructor(options: {
    readonly self: string;
    readonly incarnation: number;
    readonly random: () => number;
  }) {
    this.#self = options.self;
    this.incarnation = options.incarnation;
    this.#members = new MemberTable(options.self, options.random);
  }

  view(peer: string): MemberView | null {
    return this.#members.get(peer) ?? null;
  }

  step(event: SwimEvent): readonly SwimEffect[] {
    if ("nowMs" in event) this.#nowMs = event.nowMs;
    if (event.type === "members") this.#members.replace(event.peers);
    else if (event.type === "tick") this.#tick();
    else if (event.type === "received") this.#receive(event.from, event.message);
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #tick(): void {
    for (const [seq, probe] of this.#probes) {
      const ageMs = this.#nowMs - probe.startMs;
      if (ageMs >= PERIOD_MS) {
        this.#probes.delete(seq);
        this.#accuse(probe.target);
      } else if (ageMs >= DIRECT_MS && !probe.asked) {
        probe.asked = true;
        const { target } = probe;
        for (const helper of this.#members.pick(HELPERS, target))
          this.#send(helper, { type: "ping_req", seq, target });
      }
    }
    const waitMs = SUSPICION_FACTOR * PERIOD_MS * Math.max(1, Math.log10(this.#members.liveCount()));
    for (const [peer, sinceMs] of this.#suspectedMs) {
      const held = this.#members.get(peer);
      if (held === undefined || this.#nowMs - sinceMs < waitMs) continue;
      this.#apply({ peer, status: "dead", incarnation: held.incarnation });
    }
    if (this.#nowMs >= this.#nextProbeMs) {
      this.#nextProbeMs = this.#nowMs + PERIOD_MS;
      // The paper draws a new order every round; with one chance per turn the difference is small.
      const [target] = this.#members.pick(1, null);
      if (target !== undefined) this.#probe(target);
    }
    if (this.#nowMs >= this.#nextGossipMs && this.#rumours.waiting) {
      this.#nextGossipMs = this.#nowMs + GOSSIP_MS;
      for (const peer of this.#members.pick(HELPERS, null)) this.#send(peer, { type: "gossip" });
    }
  }

  #probe(target: string): void {
    this.#seq += 1;
    this.#probes.set(this.#seq, { target, startMs: this.#nowMs, asked: false });
    this.#send(target, { type: "ping", seq: this.#seq, table: 0 });
  }

  #receive(from: string, message: SwimMessage): void {
    const sender = this.#members.get(from);
    if (sender === undefined) return;
    if (message.incarnation > sender.incarnation)
      this.#apply({ peer: from, status: "alive", incarnation: message.incarnation });
    for (const rumour of message.rumours ?? []) this.#apply(rumour);
    if (message.type === "ping") this.#send(from, { type: "ack", seq: message.seq });
    else if (message.type === "ping_req") {
      this.#seq += 1;
      this.#errands.set(this.#seq, { origin: from, seq: message.seq });
      this.#send(message.target, { type: "ping", seq: this.#seq, table: 0 });
    } else if (message.type === "ack") {
      const errand = this.#errands.get(message.seq);
      if (errand !== undefined) this.#send(errand.origin, { type: "ack", seq: errand.seq });
      this.#errands.delete(message.seq);
      this.#probes.delete(message.seq);
    }
  }

  #accuse(peer: string): void {
    const held = this.#members.get(peer);
    if (held?.status !== "alive") return;
    this.#apply({ peer, status: "suspect", incarnation: held.incarnation, by: this.#self });
  }

  #apply(rumour: Rumour): void {
    const { peer, status, incarnation } = rumour;
    if (peer === this.#self) {
      if (status === "alive" || incarnation < this.incarnation) return;
      this.incarnation = incarnation + 1;
      this.#rumours.add({ peer, status: "alive", incarnation: this.incarnation });
      return;
    }
    const held = this.#members.get(peer);
    if (held === undefined || !outranks(rumour, held)) return;
    this.#members.put(rumour, this.#nowMs);
    if (status === "suspect") this.#suspectedMs.set(peer, this.#nowMs);
    else this.#suspectedMs.delete(peer);
    if (!isLive(status))
      for (const [seq, { target }] of this.#probes) if (target === peer) this.#probes.delete(seq);
    this.#rumours.add(rumour);
    this.#effects.push({ type: "changed", peer });
  }

  #send(to: string, body: SwimBody): void {
    const rumours = [...this.#rumours.take(RUMOURS, this.#members.liveCount())];
    this.#effects.push({ type: "send", to, message: { ...body, incarnation: this.incarnation, rumours } });
  }
}
