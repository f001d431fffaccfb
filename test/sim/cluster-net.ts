import type { Schedule } from "./cluster-schedule.ts";
import type { SimTransport } from "./cluster-transport.ts";
import type { StreamClass, Wire } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Prng } from "#shared/lib/prng.ts";

/** How the network is now. */
export interface NetWeather {
  readonly loss: number;
  readonly duplication: number;
  readonly delayMsMax: number;
  /** How likely a message takes up to a second longer. */
  readonly straggle: number;
  /** Whether messages of one stream may overtake each other. */
  readonly reorders: boolean;
  /** How likely the others see at once that a process has ended, by its closed connections. */
  readonly notice: number;
}

export const CALM_NET: NetWeather = {
  loss: 0,
  duplication: 0,
  delayMsMax: 3,
  straggle: 0,
  reorders: false,
  notice: 1,
};

/** How often links are looked after. Milliseconds. */
const LOOK_MS = 50;
/** How likely, at each look, a link that ought to be there comes up. */
const DIAL = 0.25;
/** How likely, at each look, a link through which nothing passes is given up: some five seconds. */
const GIVE_UP = 0.01;

/** One connection; another one between the same two is another link. */
export interface Link {
  readonly ends: readonly [SimTransport, SimTransport];
}

/** Connections between processes, and all that may happen to what they carry. */
export class SimNet {
  weather: NetWeather = CALM_NET;
  /** Called for every message that arrives, for the trace. */
  onArrival: (from: MemberId, to: MemberId, name: string, text: string) => void = () => undefined;
  readonly #schedule: Schedule;
  readonly #prng: Prng;
  readonly #cut = new Set<string>();
  readonly #nodes = new Map<MemberId, SimTransport>();
  readonly #links = new Map<string, Link>();
  /** When the last message of each stream arrives: the next one comes after it. */
  readonly #lastMs = new Map<string, number>();

  constructor(deps: { readonly schedule: Schedule; readonly prng: Prng }) {
    this.#schedule = deps.schedule;
    this.#prng = deps.prng;
  }

  start(): void {
    this.#schedule.after(LOOK_MS, () => {
      this.#look();
      this.start();
    });
  }

  attach(node: SimTransport): void {
    this.#nodes.set(node.self, node);
  }

  node(id: MemberId): SimTransport | null {
    const node = this.#nodes.get(id);
    return node?.life.alive === true ? node : null;
  }

  cut(from: MemberId, to: MemberId): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(from?: MemberId, to?: MemberId): void {
    if (from === undefined) this.#cut.clear();
    else this.#cut.delete(`${from}>${to}`);
  }

  passes(from: MemberId, to: MemberId): boolean {
    return !this.#cut.has(`${from}>${to}`);
  }

  /** Some connection is closed, for no reason that anybody knows. */
  closeOne(): void {
    const keys = [...this.#links.keys()];
    if (keys.length > 0) this.#close(this.#prng.pick(keys), "reset");
  }

  /** A copy of the body, or several, or none, reaches the process that answers to that name then. */
  carry(
    from: MemberId,
    to: MemberId,
    stream: StreamClass,
    name: string,
    body: Wire,
    deliver: (node: SimTransport, body: Wire) => void,
  ): void {
    const { loss, duplication } = this.weather;
    const text = JSON.stringify(body); // What arrives shares nothing with what was sent.
    if (!this.passes(from, to) || this.#prng.chance(loss)) return;
    const copies = this.#prng.chance(duplication) ? 2 : 1;
    for (let i = 0; i < copies; i += 1) {
      this.#schedule.after(this.#delay(from, to, stream), () => {
        const node = this.node(to);
        if (node === null || !this.passes(from, to) || !node.admits(from)) return;
        node.life.enter(() => {
          this.onArrival(from, to, name, text);
          deliver(node, JSON.parse(text) as Wire);
        });
      });
    }
  }

  /** How long something takes from here to there, after all before it; null when it does not arrive. */
  travel(from: MemberId, to: MemberId): number | null {
    if (!this.passes(from, to) || this.#prng.chance(this.weather.loss / 4)) return null;
    return this.#delay(from, to, "join", false);
  }

  /** Whether the others see that a process has ended. */
  notices(): boolean {
    return this.#prng.chance(this.weather.notice);
  }

  #delay(from: MemberId, to: MemberId, stream: string, reorders = this.weather.reorders): number {
    const { delayMsMax, straggle } = this.weather;
    const { nowMs } = this.#schedule;
    const late = this.#prng.chance(straggle) ? this.#prng.below(1000) : 0;
    const delay = this.#prng.between(1, delayMsMax) + late;
    if (reorders) return delay;
    const key = `${from}>${to} ${stream}`;
    const atMs = Math.max(nowMs + delay, this.#lastMs.get(key) ?? 0);
    this.#lastMs.set(key, atMs);
    return atMs - nowMs;
  }

  #look(): void {
    for (const [key, link] of this.#links) this.#examine(key, link);
    const nodes = [...this.#nodes.values()].filter(({ life }) => life.alive);
    for (const [i, a] of nodes.entries()) {
      for (const b of nodes.slice(i + 1)) {
        const key = keyOf(a.self, b.self);
        if (this.#links.has(key)) continue;
        if (a.outlivedBy(b)) this.#introduce(a, b);
        else if (b.outlivedBy(a)) this.#introduce(b, a);
        if (!this.#wanted(a, b) || !this.#prng.chance(DIAL)) continue;
        if (a.life.frozen || b.life.frozen) continue;
        const link: Link = { ends: [a, b] };
        this.#links.set(key, link);
        a.life.after(1, () => a.up(b, link));
        b.life.after(1, () => b.up(a, link));
      }
    }
  }

  /** One that was left behind dials one of those who went on. */
  #introduce(behind: SimTransport, ahead: SimTransport): void {
    const passes = this.passes(behind.self, ahead.self) && this.passes(ahead.self, behind.self);
    if (passes && this.#prng.chance(DIAL)) behind.life.after(1, () => behind.refusedBy(ahead));
  }

  #examine(key: string, { ends: [a, b] }: Link): void {
    if (!a.life.alive || !b.life.alive) {
      const replaced = this.node(a.self) !== a && this.node(b.self) !== b;
      const { notice } = this.weather;
      const seen = replaced || this.#prng.chance(notice / 2) || this.#prng.chance(GIVE_UP);
      if (seen) this.#close(key, "closed");
    } else if (!a.admits(b.self) || !b.admits(a.self)) {
      this.#close(key, "not_a_member");
    } else if (!this.#wanted(a, b) && this.#prng.chance(GIVE_UP)) {
      this.#close(key, "silent");
    }
  }

  #wanted(a: SimTransport, b: SimTransport): boolean {
    return this.passes(a.self, b.self) && this.passes(b.self, a.self) && a.admits(b.self) && b.admits(a.self);
  }

  #close(key: string, reason: string): void {
    const link = this.#links.get(key);
    this.#links.delete(key);
    if (link === undefined) return;
    const [a, b] = link.ends;
    a.life.after(this.#prng.between(1, 20), () => a.down(b.self, link, reason));
    b.life.after(this.#prng.between(1, 20), () => b.down(a.self, link, reason));
  }
}

function keyOf(a: MemberId, b: MemberId): string {
  return a < b ? `${a}|${b}` : `${b}|${a}`;
}
