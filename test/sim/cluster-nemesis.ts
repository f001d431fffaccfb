import type { Faults } from "./cluster-faults.ts";
import type { SimHost } from "./cluster-host.ts";
import type { SimNet } from "./cluster-net.ts";
import type { Schedule } from "./cluster-schedule.ts";
import type { Prng } from "#shared/lib/prng.ts";

interface NemesisWorld {
  readonly schedule: Schedule;
  readonly prng: Prng;
  readonly net: SimNet;
  /** Hosts that something runs on. */
  running(): readonly SimHost[];
  remove(): void;
  readonly count: (what: string) => void;
  readonly note: (line: string) => void;
}

const HOUR_MS = 3_600_000;

/** Whatever can go wrong with machines and networks, at times that the seed decides. */
export class Nemesis {
  readonly #world: NemesisWorld;
  readonly #faults: Faults;
  #over = false;

  constructor(world: NemesisWorld, faults: Faults) {
    this.#world = world;
    this.#faults = faults;
  }

  start(): void {
    const { between } = this.#faults;
    this.#every(between.crashes, "crashes", () => this.#victim()?.crash(this.powerCut()));
    this.#every(between.partitions, "partitions", () => this.#partition());
    this.#every(between.flaps, "flaps", () => this.#flap());
    this.#every(between.closings, "closings", () => this.#world.net.closeOne());
    this.#every(between.freezes, "freezes", () => this.#freeze());
    this.#every(between.stalls, "stalls", () =>
      this.#victim()?.disk.stall(this.#world.prng.between(500, 5000)),
    );
    this.#every(between.fullDisks, "full disks", () => this.#fill());
    this.#every(between.clockJumps, "clock jumps", () => this.#jump());
    this.#every(between.stops, "stops", () => this.#victim()?.stop());
    this.#every(between.handOvers, "hand-overs", () => void this.#leader()?.process?.replica.handOver(1000));
    this.#every(between.removals, "removals", () => this.#world.remove());
  }

  /** Nothing more goes wrong. */
  end(): void {
    this.#over = true;
  }

  powerCut(): boolean {
    return this.#world.prng.chance(this.#faults.powerCuts);
  }

  #every(meanMs: number, what: string, act: () => void): void {
    if (!Number.isFinite(meanMs)) return;
    const { schedule, prng, count, note } = this.#world;
    schedule.after(prng.between(1, 2 * meanMs), () => {
      if (this.#over) return;
      count(what);
      note(`nemesis: ${what}`);
      act();
      this.#every(meanMs, what, act);
    });
  }

  #leader(): SimHost | null {
    const leads = (host: SimHost): boolean => host.process?.replica.status().role === "leader";
    return this.#world.running().find(leads) ?? null;
  }

  /** Whom misfortune hits: often a leader, for most is at stake there. */
  #victim(): SimHost | null {
    const { prng } = this.#world;
    const running = this.#world.running();
    if (running.length === 0) return null;
    return (prng.chance(0.4) ? this.#leader() : null) ?? prng.pick(running);
  }

  #freeze(): void {
    const { schedule, prng } = this.#world;
    const life = this.#victim()?.life ?? null;
    if (life === null || life.frozen) return;
    life.freeze();
    schedule.after(prng.between(300, 5000), () => life.thaw());
  }

  #fill(): void {
    const { schedule, prng } = this.#world;
    const disk = this.#victim()?.disk;
    if (disk === undefined) return;
    disk.weather = { ...disk.weather, full: true };
    schedule.after(prng.between(300, 4000), () => {
      disk.weather = { ...disk.weather, full: false };
    });
  }

  #jump(): void {
    const { prng } = this.#world;
    const host = this.#victim();
    if (host !== null) host.time.wallOffsetMs = prng.pick([-HOUR_MS, HOUR_MS, -3000, 3000, 0]);
  }

  /** Cuts links both ways, one way, or at random, or heals. */
  #partition(): void {
    const { net, prng } = this.#world;
    net.heal();
    const kind = prng.below(4);
    const running = this.#world.running();
    const victim = this.#victim();
    if (kind === 0 || victim === null) return;
    const group = new Set([victim, ...prng.shuffle(running).slice(0, prng.below(3))]);
    for (const a of running) {
      for (const b of running) {
        const apart = group.has(a) !== group.has(b);
        const blocked = kind === 1 ? apart : kind === 2 ? group.has(a) && apart : a !== b && prng.chance(0.3);
        if (blocked) net.cut(a.peer, b.peer);
      }
    }
  }

  /** A link that comes and goes for some seconds. */
  #flap(): void {
    const { net, prng, schedule } = this.#world;
    const [a, b] = prng.shuffle(this.#world.running());
    if (a === undefined || b === undefined) return;
    const flap = (left: number): void => {
      if (this.#over || left === 0) {
        net.heal(a.peer, b.peer);
        net.heal(b.peer, a.peer);
        return;
      }
      if (left % 2 === 0) net.cut(a.peer, b.peer);
      else net.heal(a.peer, b.peer);
      schedule.after(prng.between(50, 400), () => flap(left - 1));
    };
    flap(10);
  }
}
