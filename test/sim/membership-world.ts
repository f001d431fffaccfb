import { Prng } from "#shared/lib/prng.ts";
import type { Status } from "#shared/membership/merge.ts";
import type { SwimBody, SwimMessage } from "#shared/membership/messages.ts";
import { Swim, TICK_MS, type SwimEffect } from "#shared/membership/swim.ts";

/** Room between two lives, as the driver leaves it. */
const PER_START = 2 ** 20;
const EPOCH_MS = 1_800_000_000_000;
/** Clocks that are far apart raise an alarm at 250 ms. */
const SKEW_MS_MAX = 100;
/** Hosts do not start in step. */
const PHASE_MS = 1000;

/** What a seed does to the network and the hosts. */
export interface Faults {
  readonly lossRatio: number;
  readonly delayMsMax: number;
  readonly duplicateRatio: number;
  readonly partitions: boolean;
  readonly crashes: boolean;
  readonly restarts: boolean;
  readonly stalls: boolean;
  readonly leaves: boolean;
  /** How likely others notice a crash by a closed connection. */
  readonly noticeRatio: number;
}

export interface Host {
  readonly id: string;
  starts: number;
  swim: Machine;
  /** What is so, whatever anybody believes. */
  truth: "up" | "down";
  /** Whether it has said goodbye in its present or last life. */
  leaving: boolean;
  /** How far its wall clock is ahead. */
  readonly skewMs: number;
  stalledUntilMs: number;
  /** Until then it needs no tick, unless something else happens to it. */
  restUntilMs: number;
  /** Until then no message gets in or out, though its timers run: it is too slow to read and write. All then come at once. */
  blockedUntilMs: number;
  /** Grows with each crash, so that what was under way to an earlier life is lost. */
  life: number;
}

/** A membership protocol as one host runs it. */
export type Machine = Pick<Swim, "step" | "view" | "incarnation" | "health" | "restMs">;

interface MachineOptions {
  readonly self: string;
  readonly incarnation: number;
  readonly random: () => number;
}

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** Hosts that run SWIM in virtual time over a network that a seed makes bad. */
export class World {
  readonly prng: Prng;
  readonly hosts: Host[] = [];
  nowMs = 0;
  onStep: (host: Host) => void = () => undefined;
  /** A host changed its mind about another one. */
  onChanged: (host: Host, about: Host) => void = () => undefined;
  /** A host sent that message, whether it arrives or not. */
  onSent: (message: SwimMessage) => void = () => undefined;
  readonly #create: (options: MachineOptions) => Machine;
  readonly #byId = new Map<string, Host>();
  #faults: Faults;
  #order = 0;
  /** Directed pairs between which nothing passes. */
  readonly #cut = new Set<string>();
  #heap: Due[] = [];

  /** `create`: the protocol that all hosts run, if not the product's own. `idOf`: their ids, by number. */
  constructor(
    seed: number,
    size: number,
    faults: Faults,
    options: {
      readonly create?: (options: MachineOptions) => Machine;
      readonly idOf?: (i: number) => string;
    } = {},
  ) {
    this.prng = new Prng(seed);
    this.#faults = faults;
    this.#create = options.create ?? ((given) => new Swim(given));
    for (let i = 0; i < size; i += 1) {
      const id = options.idOf?.(i) ?? `host-${i}`;
      const host: Host = {
        id,
        starts: 1,
        swim: this.#born(id, 1),
        truth: "up",
        leaving: false,
        skewMs: this.prng.between(-SKEW_MS_MAX, SKEW_MS_MAX),
        stalledUntilMs: 0,
        restUntilMs: 0,
        blockedUntilMs: 0,
        life: 0,
      };
      this.hosts.push(host);
      this.#byId.set(id, host);
    }
    for (const host of this.hosts) this.#begin(host);
  }

  set faults(faults: Faults) {
    this.#faults = faults;
  }

  runUntil(endMs: number): void {
    for (let due = this.#heap[0]; due !== undefined && due.atMs <= endMs; due = this.#heap[0]) {
      this.#popDue();
      this.nowMs = due.atMs;
      due.run();
    }
    this.nowMs = endMs;
  }

  crash(host: Host): void {
    host.truth = "down";
    host.life += 1;
    for (const other of this.hosts) {
      if (other === host || !this.prng.chance(this.#faults.noticeRatio)) continue;
      this.#at(this.prng.below(20), () => this.#event(other, { type: "disconnected", peer: host.id }));
    }
  }

  restart(host: Host): void {
    host.starts += 1;
    host.swim = this.#born(host.id, host.starts);
    host.truth = "up";
    host.leaving = false;
    host.stalledUntilMs = 0;
    host.restUntilMs = 0;
    host.blockedUntilMs = 0;
    this.#begin(host);
    for (const other of this.hosts) if (other !== host) this.#connect(host, other);
  }

  leave(host: Host): void {
    host.leaving = true;
    this.#perform(host, host.swim.step({ type: "leave" }));
    const { life } = host;
    // It goes on spreading its goodbye for a moment, then stops.
    this.#at(2000, () => {
      if (host.life !== life) return;
      host.truth = "down";
      host.life += 1;
    });
  }

  /** Cuts a group off the rest; one way only when `asymmetric`. */
  partition(group: ReadonlySet<Host>, asymmetric: boolean): void {
    for (const a of this.hosts) {
      for (const b of this.hosts) {
        if (group.has(a) === group.has(b)) continue;
        if (group.has(a) || !asymmetric) this.#cut.add(`${a.id}>${b.id}`);
      }
    }
  }

  /** All links work again; some hosts see connections come back. */
  heal(): void {
    this.#cut.clear();
    for (const a of this.hosts) {
      for (const b of this.hosts) if (a !== b && this.prng.chance(0.5)) this.#connect(a, b);
    }
  }

  statusAt(host: Host, of: Host): Status | undefined {
    return host.swim.view(of.id)?.status;
  }

  /** Everybody knows everybody, as after some time of peace, and has nothing left to tell. Costs no virtual time. */
  acquaint(): void {
    const everybody = this.hosts.map(({ id, swim }) => ({
      peer: id,
      status: "alive" as const,
      incarnation: swim.incarnation,
    }));
    for (const host of this.hosts) {
      const teller = this.hosts.find((other) => other !== host);
      if (teller === undefined) return;
      const hear = (body: SwimBody): readonly SwimEffect[] => {
        const message: SwimMessage = { ...body, incarnation: teller.swim.incarnation };
        return host.swim.step({ type: "received", from: teller.id, message, nowMs: this.nowMs });
      };
      hear({ type: "sync", buckets: [], members: everybody });
      const ping = { type: "ping", seq: 0, table: 0 } as const;
      while (hear(ping).some((effect) => effect.type === "send" && effect.message.rumours !== undefined));
    }
  }

  #born(id: string, starts: number): Machine {
    return this.#create({ self: id, incarnation: starts * PER_START, random: () => this.prng.next() });
  }

  #begin(host: Host): void {
    this.#perform(host, host.swim.step({ type: "members", peers: this.hosts.map(({ id }) => id) }));
    const { life } = host;
    const tick = (dueMs: number): void => {
      if (host.life !== life) return;
      const waitMs = Math.max(0, host.stalledUntilMs - this.nowMs);
      const { nowMs } = this;
      const lateMs = nowMs - Math.max(dueMs, host.restUntilMs);
      // As the driver does it: ticks of which the agent says that they bring nothing do not come.
      if (waitMs === 0 && lateMs >= 0) this.#event(host, { type: "tick", lateMs });
      if (waitMs > 0) this.#at(waitMs, () => tick(dueMs));
      else this.#at(TICK_MS, () => tick(nowMs + TICK_MS));
    };
    const phaseMs = this.prng.below(PHASE_MS);
    const firstMs = this.nowMs + phaseMs;
    this.#at(phaseMs, () => tick(firstMs));
  }

  #connect(a: Host, b: Host): void {
    this.#at(this.prng.below(50), () => {
      if (a.truth !== "up" || b.truth !== "up" || this.#cut.has(`${a.id}>${b.id}`)) return;
      this.#event(a, { type: "connected", peer: b.id });
      this.#event(b, { type: "connected", peer: a.id });
    });
  }

  #event(
    host: Host,
    event:
      | { readonly type: "tick"; readonly lateMs: number }
      | { readonly type: "connected" | "disconnected"; readonly peer: string }
      | { readonly type: "received"; readonly from: string; readonly message: SwimMessage },
  ): void {
    if (host.truth !== "up") return;
    if (host.stalledUntilMs > this.nowMs) {
      // Just after the late tick: timers come before what waits in sockets.
      const { life } = host;
      const again = (): void => (host.life === life ? this.#event(host, event) : undefined);
      this.#at(host.stalledUntilMs - this.nowMs + 1, again);
      return;
    }
    // Clocks that are set, but not to the same moment.
    const wallMs = EPOCH_MS + this.nowMs + host.skewMs;
    const { nowMs } = this;
    this.#perform(
      host,
      host.swim.step(event.type === "tick" ? { ...event, nowMs, wallMs } : { ...event, nowMs }),
    );
  }

  #perform(host: Host, effects: readonly SwimEffect[]): void {
    host.restUntilMs = this.nowMs + host.swim.restMs;
    for (const effect of effects) {
      if (effect.type === "send") this.#post(host, effect.to, effect.message);
      else this.onChanged(host, this.#byId.get(effect.peer) as Host);
    }
    this.onStep(host);
  }

  #post(from: Host, to: string, message: SwimMessage): void {
    const { lossRatio, delayMsMax, duplicateRatio } = this.#faults;
    const target = this.#byId.get(to);
    if (target === undefined) return;
    this.onSent(message);
    const { life } = target;
    const copies = this.prng.chance(duplicateRatio) ? 2 : 1;
    for (let i = 0; i < copies; i += 1) {
      if (this.prng.chance(lossRatio)) continue;
      const leavesInMs = Math.max(0, from.blockedUntilMs - this.nowMs);
      this.#at(leavesInMs + this.prng.below(delayMsMax + 1), () => {
        if (target.life !== life || this.#cut.has(`${from.id}>${to}`)) return;
        this.#arrive(target, life, from, message);
      });
    }
  }

  #arrive(target: Host, life: number, from: Host, message: SwimMessage): void {
    const waitMs = target.blockedUntilMs - this.nowMs;
    if (target.life !== life) return;
    if (waitMs > 0) this.#at(waitMs, () => this.#arrive(target, life, from, message));
    else this.#event(target, { type: "received", from: from.id, message });
  }

  #at(inMs: number, run: () => void): void {
    this.#order += 1;
    const due: Due = { atMs: this.nowMs + inMs, order: this.#order, run };
    const heap = this.#heap;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(due, heap[parent] as Due)) break;
      heap[at] = heap[parent] as Due;
      at = parent;
    }
    heap[at] = due;
  }

  #popDue(): void {
    const heap = this.#heap;
    const last = heap.pop() as Due;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Due, heap[child] as Due)) child += 1;
      if (!before(heap[child] as Due, last)) break;
      heap[at] = heap[child] as Due;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
