import { describe, expect, test } from "vitest";

import { Prng } from "#shared/lib/prng.ts";
import { lossy } from "./membership-measure.ts";
import { World, type Faults, type Host } from "./membership-world.ts";

// Goal: whatever the network and the hosts do, nothing untrue is ever invented, and once they behave, everybody knows
// the truth.
// Method: the production machine over a simulated network in virtual time; the seed decides everything, so a failure replays
// with SIM_SEED. The oracle knows what really happened to each host, and ranks statuses by a table of its own.
const given = process.env["SIM_SEED"];
const count = Number(process.env["SIM_SEEDS"] ?? 200);
const seeds = given === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(given)];

const NO_FAULTS = lossy(0, 20);

const FAULTS_MS = 40_000;
/** Dead hosts are met again, suspicions run out at their ceiling, rumours and a full exchange pass. */
const QUIET_MS = 120_000;
/** No wait before a death is shorter than this: half of the pause that two members allow each other. */
const SUSPICION_MS_MIN = 1650;

const WEIGHT = { alive: 0, suspect: 1, dead: 2, left: 3 } as const;

/** What must hold at every moment, judged without the code under test. */
class Oracle {
  /** The highest incarnation that each member ever gave itself. */
  readonly #own = new Map<string, number>();
  readonly #held = new Map<string, { life: number; incarnation: number; weight: number }>();
  readonly #suspectedMs = new Map<string, number>();
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  look(host: Host): void {
    const own = this.#own.get(host.id) ?? 0;
    if (host.swim.incarnation < own) throw new Error(`${host.id} went back behind itself`);
    this.#own.set(host.id, host.swim.incarnation);
    for (const { id } of this.#world.hosts) {
      const view = host.swim.view(id);
      if (id === host.id || view === null) continue;
      const { incarnation, status } = view;
      if (incarnation > (this.#own.get(id) ?? 0))
        throw new Error(`${host.id} invented an incarnation of ${id}`);
      const weight = WEIGHT[status];
      const key = `${host.id} ${id}`;
      const before = this.#held.get(key);
      if (before?.life === host.life && before.incarnation === incarnation && before.weight === weight)
        continue;
      if (before !== undefined && before.life === host.life) {
        const forward =
          incarnation > before.incarnation || (incarnation === before.incarnation && weight > before.weight);
        if (!forward) throw new Error(`${host.id} went back on ${id} to ${status}`);
      }
      this.#held.set(key, { life: host.life, incarnation, weight });
      this.#judge(`${id} ${incarnation}`, status);
    }
  }

  #judge(life: string, status: keyof typeof WEIGHT): void {
    const { nowMs } = this.#world;
    if (status === "suspect" && !this.#suspectedMs.has(life)) this.#suspectedMs.set(life, nowMs);
    if (status !== "dead") return;
    const suspectedMs = this.#suspectedMs.get(life);
    if (suspectedMs === undefined) throw new Error(`${life} is dead and was never suspected`);
    if (nowMs - suspectedMs < SUSPICION_MS_MIN)
      throw new Error(`${life} died after ${nowMs - suspectedMs} ms`);
  }
}

function watch(world: World): void {
  const oracle = new Oracle(world);
  world.onStep = (host) => oracle.look(host);
}

function drawFaults(prng: Prng): Faults {
  return {
    lossRatio: prng.pick([0, 0.05, 0.2, 0.4]),
    delayMsMax: prng.pick([5, 100, 600]),
    duplicateRatio: prng.pick([0, 0.2]),
    partitions: prng.chance(0.5),
    crashes: prng.chance(0.5),
    restarts: prng.chance(0.7),
    stalls: prng.chance(0.4),
    leaves: prng.chance(0.3),
    noticeRatio: prng.pick([0, 0.5, 1]),
  };
}

function doHarm(world: World, prng: Prng, faults: Faults): void {
  const host = prng.pick(world.hosts);
  const up = world.hosts.filter(({ truth }) => truth === "up").length;
  switch (prng.below(6)) {
    case 0:
      if (faults.crashes && host.truth === "up" && up > 1) world.crash(host);
      break;
    case 1:
      if (faults.restarts && host.truth === "down") world.restart(host);
      break;
    case 2:
      if (faults.stalls) host.stalledUntilMs = world.nowMs + prng.between(100, 12_000);
      break;
    case 3:
      if (faults.partitions) {
        const group = new Set(world.hosts.filter(() => prng.chance(0.4)));
        world.partition(group, prng.chance(0.4));
      }
      break;
    case 4:
      world.heal();
      break;
    case 5:
      if (faults.leaves && host.truth === "up" && up > 2 && prng.chance(0.3)) world.leave(host);
      break;
  }
}

test.each(seeds)(
  "everybody ends with the truth, and nothing is invented on the way (SIM_SEED=%i)",
  (seed) => {
    const prng = new Prng(seed ^ 0x5bd1e995);
    const faults = drawFaults(prng);
    const world = new World(seed, prng.between(2, 7), faults);
    watch(world);
    for (let atMs = 0; atMs < FAULTS_MS; atMs += prng.between(200, 4000)) {
      world.runUntil(atMs);
      doHarm(world, prng, faults);
    }
    world.runUntil(FAULTS_MS);
    world.faults = { ...NO_FAULTS };
    world.heal();
    world.runUntil(FAULTS_MS + QUIET_MS);

    const upright = world.hosts.filter(({ truth }) => truth === "up");
    for (const of of world.hosts) {
      const beliefs = upright.map((host) => host.swim.view(of.id));
      // A goodbye into a broken network may reach nobody; but if it reached one, it reached all.
      const heard = of.leaving && beliefs.some((view) => view?.status === "left");
      const status = of.truth === "up" && !of.leaving ? "alive" : heard ? "left" : "dead";
      expect(
        beliefs.map((view) => view?.status),
        `${of.id} as others see it`,
      ).toEqual(upright.map(() => status));
      if (of.truth !== "up") continue;
      const incarnations = beliefs.map((view) => view?.incarnation);
      expect(incarnations, `incarnation of ${of.id}`).toEqual(upright.map(() => of.swim.incarnation));
    }
  },
);

describe("a network that works", () => {
  test.each([2, 3, 8, 30])("of %i hosts: nobody is ever suspected", (size) => {
    const world = new World(size, size, { ...NO_FAULTS, delayMsMax: 150 });
    let suspicions = 0;
    world.onStep = (host) => {
      for (const other of world.hosts) if (world.statusAt(host, other) !== "alive") suspicions += 1;
    };
    world.runUntil(60_000);
    expect(suspicions).toBe(0);
    expect(world.hosts.map(({ swim }) => swim.health)).toEqual(world.hosts.map(() => 0));
  });

  // Many moments to stop at: only while a probe is in flight is there a verdict to be wrong about.
  test.each(Array.from({ length: 30 }, (_, i) => i + 1))(
    "one that stood still for 10 s accuses nobody (%i)",
    (seed) => {
      const world = new World(seed, seed % 2 === 0 ? 3 : 8, { ...NO_FAULTS, delayMsMax: 150 });
      const [stalled] = world.hosts as [Host];
      world.runUntil(5000 + seed * 137);
      stalled.stalledUntilMs = world.nowMs + 10_000;
      const accused = new Set<string>();
      world.onStep = (host) => {
        for (const other of world.hosts) if (world.statusAt(host, other) !== "alive") accused.add(other.id);
      };
      world.runUntil(60_000);
      expect([...accused]).toEqual([stalled.id]);
      for (const host of world.hosts) expect(world.statusAt(host, stalled)).toBe("alive");
    },
  );

  // Bounds, not measurements: a probe is due within a round, a suspicion runs its course, a rumour spreads.
  test.each([
    { size: 3, noticeRatio: 1, boundMs: 3000 },
    { size: 3, noticeRatio: 0, boundMs: 7000 },
    { size: 20, noticeRatio: 1, boundMs: 3000 },
    { size: 20, noticeRatio: 0, boundMs: 12_000 },
  ])(
    "a crash of one of $size, closed connections seen by $noticeRatio, is known to all",
    ({ size, noticeRatio, boundMs }) => {
      const world = new World(7, size, { ...NO_FAULTS, noticeRatio });
      world.runUntil(20_000);
      const [victim, ...others] = world.hosts as [Host, ...Host[]];
      world.crash(victim);
      world.runUntil(world.nowMs + boundMs);
      expect(others.map((host) => world.statusAt(host, victim))).toEqual(others.map(() => "dead"));
    },
  );
});
