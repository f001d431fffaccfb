import { Prng } from "#shared/lib/prng.ts";
import type { Status } from "#shared/membership/merge.ts";
import type { SwimMessage } from "#shared/membership/messages.ts";
import { Swim, TICK_MS, type SwimEffect } from "#shared/membership/swim.ts";

/** Room between two lives, as the driver leaves it. */
const PER_START = 2 ** 20;

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
  swim: Swim;
  /** What is so, whatever anybody believes. */
  truth: "up" | "down";
  /** Whether it has said goodbye in its present or last life. */
  leaving: boolean;
  stalledUntilMs: number;
  /** Grows with each crash, so that what was under way to an earlier life is lost. */
  life: number;
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
  #faults: Faults;
  #order = 0;
  /** Directed pairs between which nothing passes. */
  readonly #cut = new Set<string>();
  #heap: Due[] = [];

  constructor(seed: number, size: number, faults: Faults) {
    this.prng = new Prng(seed);
    this.#faults = faults;
    for (let i = 0; i < size; i += 1) {
      const id = `host-${i}`;
      const host: Host = {
        id,
        starts: 1,
        swim: this.#born(id, 1),
        truth: "up",
        leaving: false,
        stalledUntilMs: 0,
        life: 0,
      };
      this.hosts.push(host);
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

  #born(id: string, starts: number): Swim {
    return new Swim({ self: id, incarnation: starts * PER_START, random: () => this.prng.next() });
  }

  #begin(host: Host): void {
    this.#perform(host, host.swim.step({ type: "members", peers: this.hosts.map(({ id }) => id) }));
    const { life } = host;
    const tick = (): void => {
      if (host.life !== life) return;
      const lateMs = Math.max(0, host.stalledUntilMs - this.nowMs);
      if (lateMs === 0) this.#event(host, { type: "tick" });
      this.#at(lateMs === 0 ? TICK_MS : lateMs, tick);
    };
    this.#at(this.prng.below(TICK_MS), tick);
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
      | { readonly type: "tick" }
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
    this.#perform(host, host.swim.step({ ...event, nowMs: this.nowMs }));
  }

  #perform(host: Host, effects: readonly SwimEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "send") this.#post(host, effect.to, effect.message);
    }
    this.onStep(host);
  }

  #post(from: Host, to: string, message: SwimMessage): void {
    const { lossRatio, delayMsMax, duplicateRatio } = this.#faults;
    const target = this.hosts.find(({ id }) => id === to);
    if (target === undefined) return;
    const { life } = target;
    const copies = this.prng.chance(duplicateRatio) ? 2 : 1;
    for (let i = 0; i < copies; i += 1) {
      if (this.prng.chance(lossRatio)) continue;
      this.#at(this.prng.below(delayMsMax + 1), () => {
        if (target.life !== life || this.#cut.has(`${from.id}>${to}`)) return;
        this.#event(target, { type: "received", from: from.id, message });
      });
    }
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
