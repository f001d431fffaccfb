import { describe, expect, test } from "vitest";

import { isKind } from "#shared/errors/app-error.ts";
import { Prng } from "#shared/lib/prng.ts";

import { Replicas } from "./replicas.ts";

/** Everything that may happen between two writes. Whoever is killed comes back later; every cut is healed at the end. */
async function disturb(replicas: Replicas, random: Prng): Promise<void> {
  const peers = replicas.hosts.map(({ peer }) => peer);
  const down = replicas.hosts.filter(({ up }) => !up);
  switch (random.below(5)) {
    case 0: {
      if (down.length < 2) await replicas.kill(random.pick(replicas.up));
      return;
    }
    case 1: {
      const [host] = down;
      if (host !== undefined) await replicas.restart(host);
      return;
    }
    case 2: {
      const [first = "", ...others] = random.shuffle(peers);
      replicas.mesh.cut([first], others.slice(0, random.between(1, others.length)), {
        oneWay: random.chance(0.3),
      });
      return;
    }
    case 3: {
      replicas.mesh.heal();
      return;
    }
    default:
      await replicas.clock.advance(random.between(10, 3000));
  }
}

describe("under random faults", () => {
  test.each(Array.from({ length: 12 }, (_, i) => i + 1))(
    "seed %d: every acknowledged write is there once, and all agree in the end",
    async (seed) => {
      const random = new Prng(seed);
      const options = { snapshotEntries: 15, logTailEntries: 4, deadVoterMs: 5000 };
      const replicas = await Replicas.form(4 + (seed % 3), options);
      const acknowledged = new Set<string>();
      const doubled: string[] = [];
      const writes: Promise<void>[] = [];
      const write = async (name: string): Promise<void> => {
        const { replica } = random.pick(replicas.up);
        try {
          const { result } = await replica.submit(
            { type: "zone.create", name },
            { by: "admin", timeoutMs: 8000 },
          );
          if (result.ok) acknowledged.add(name);
          // Each name is asked for once: if it exists already, the same command took effect twice.
          else doubled.push(name);
        } catch (error) {
          const known = ["quorum_lost", "outcome_unknown", "not_in_cluster"] as const;
          if (!known.some((kind) => isKind(error, kind))) throw error;
        }
      };
      for (let round = 0; round < 40; round += 1) {
        for (let i = random.below(4); i > 0; i -= 1) writes.push(write(`${round}-${i}`));
        replicas.mesh.latencyMs = random.pick([0, 0, 5, 40]);
        await disturb(replicas, random);
      }
      replicas.mesh.latencyMs = 0;
      replicas.mesh.heal();
      for (const host of replicas.hosts) if (!host.up) await replicas.restart(host);
      await replicas.wait(Promise.all(writes));
      await replicas.settled(120_000);
      expect(new Set(replicas.registries()).size).toBe(1);
      const names = new Set([...replicas.host(1).replica.state.zones.values()].map(({ name }) => name));
      expect([...acknowledged].filter((name) => !names.has(name))).toEqual([]);
      expect(doubled).toEqual([]);
      expect(acknowledged.size).toBeGreaterThan(10);
    },
  );
});
