import { describe, expect, test } from "vitest";

import { measure, lossy, type Crash } from "./membership-measure.ts";
import { PlainSwim } from "./membership-plain-swim.ts";
import { World, type Machine } from "./membership-world.ts";

// Bounds in virtual time: how soon a death is known, and that nobody is buried alive, in clusters of a size that no test
// could start as processes. `node test/sim/membership-scale.ts` measures the same and more.

const SEEDS = [1, 2, 3, 4];

describe("a true death in a cluster of 100", () => {
  test.each(SEEDS)("is known to all within 10 s, closed connections or none (SIM_SEED=%i)", (seed) => {
    const { silent, closed } = measure({ seed, size: 100, lossRatio: 0 });
    expect(silent.allMs).toBeLessThanOrEqual(10_000);
    expect(closed.allMs).toBeLessThanOrEqual(3000);
  });

  test.each(SEEDS)(
    "is known to 99 % within 3 s of the first who knows, when a tenth of all messages are lost (SIM_SEED=%i)",
    (seed) => {
      const measured = measure({ seed, size: 100, lossRatio: 0.1 });
      const spread = ({ mostMs, firstDeadMs }: Crash): number => mostMs - firstDeadMs;
      expect(spread(measured.silent)).toBeLessThanOrEqual(3000);
      expect(spread(measured.closed)).toBeLessThanOrEqual(3000);
      expect(measured.falseDeaths).toBe(0);
    },
  );
});

test("what an idle agent sends does not grow with its cluster, and is nothing but probes and their answers", () => {
  const idle = [10, 40, 160].map((size) => measure({ seed: 1, size, lossRatio: 0 }));
  for (const { idleMessages, idleBytes } of idle) {
    expect(Math.abs(idleMessages - 2)).toBeLessThan(0.05);
    expect(idleBytes).toBeLessThan(250);
  }
});

test.each([1, 2, 3])(
  "20 agents that share a burnt core for ten minutes, each standing still for up to 1.5 s again and again: nobody dies (SIM_SEED=%i)",
  (seed) => {
    const world = new World(seed, 20, { ...lossy(0), delayMsMax: 200 });
    world.acquaint();
    let [deaths, stalls] = [0, 0];
    world.onChanged = (host, about) => {
      if (world.statusAt(host, about) === "dead") deaths += 1;
    };
    const nextMs = new Map(world.hosts.map((host) => [host, world.prng.below(2000)]));
    while (world.nowMs < 600_000) {
      world.runUntil(world.nowMs + 50);
      for (const [host, atMs] of nextMs) {
        if (world.nowMs < atMs) continue;
        stalls += 1;
        host.stalledUntilMs = world.nowMs + world.prng.between(50, 1500);
        nextMs.set(host, host.stalledUntilMs + world.prng.between(50, 1500));
      }
    }
    expect(stalls).toBeGreaterThan(5000);
    expect(deaths).toBe(0);
  },
);

describe("slow members (Lifeguard, section V)", () => {
  const SIZE = 100;
  const RUN_MS = 50_000;

  /** Beliefs of healthy hosts that another healthy one is dead, while `slow` of 100 are blocked most of the time. */
  function falseDeaths(seed: number, slow: number, create?: (options: Options) => Machine): number {
    const world = new World(seed, SIZE, lossy(0), create === undefined ? {} : { create });
    if (create === undefined) world.acquaint();
    const sick = new Set(world.hosts.slice(0, slow));
    let count = 0;
    world.onChanged = (host, about) => {
      if (!sick.has(host) && !sick.has(about) && world.statusAt(host, about) === "dead") count += 1;
    };
    const nextMs = new Map([...sick].map((host) => [host, world.prng.between(5000, 15_000)]));
    while (world.nowMs < RUN_MS) {
      world.runUntil(world.nowMs + 100);
      for (const [host, atMs] of nextMs) {
        if (world.nowMs < atMs) continue;
        host.blockedUntilMs = world.nowMs + world.prng.between(4000, 24_000);
        nextMs.set(host, host.blockedUntilMs + world.prng.between(100, 1000));
      }
    }
    return count;
  }

  test.each([5, 20])(
    "%i slow ones of 100 bury at most a fiftieth of the healthy that plain SWIM buries",
    (slow) => {
      const plain = falseDeaths(slow, slow, (options) => new PlainSwim(options));
      expect(plain).toBeGreaterThan(100);
      expect(falseDeaths(slow, slow)).toBeLessThanOrEqual(plain / 50);
    },
  );
});

type Options = ConstructorParameters<typeof PlainSwim>[0];
