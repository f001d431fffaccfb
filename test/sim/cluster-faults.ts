import type { NetWeather } from "./cluster-net.ts";
import type { Prng } from "#shared/lib/prng.ts";

/** What goes wrong in one seed, and how often: each draws its own mix, so that no fault hides another for ever. */
export interface Faults {
  readonly hosts: number;
  /** Hosts that are there from the beginning; the others come later. */
  readonly first: number;
  readonly net: NetWeather;
  readonly diskMsMax: number;
  readonly diskFailure: number;
  /** Probability that a process dies where it waits for the disk, sends something, or talks with a stranger. */
  readonly dies: { readonly disk: number; readonly network: number; readonly join: number };
  /** Of the crashes, how many are power cuts. */
  readonly powerCuts: number;
  readonly downMsMax: number;
  /** Clocks differ by at most this ratio. */
  readonly drift: number;
  readonly snapshotEntries: number;
  /** When a majority's disks are lost for good; null: never. Milliseconds. */
  readonly disasterMs: number | null;
  /** Grace before a dead member counts as failed, and whether plain joins are let in then. */
  readonly failedAfterMs: number;
  readonly repairPolicy: "replace" | "open";
  /** Mean milliseconds between … */
  readonly between: {
    readonly crashes: number;
    readonly partitions: number;
    readonly flaps: number;
    readonly closings: number;
    readonly freezes: number;
    readonly stalls: number;
    readonly fullDisks: number;
    readonly clockJumps: number;
    readonly stops: number;
    readonly handOvers: number;
    readonly removals: number;
    readonly writes: number;
    readonly reads: number;
  };
}

const NEVER = Number.POSITIVE_INFINITY;

/** One seed's mix. */
export function drawFaults(prng: Prng): Faults {
  const hosts = prng.pick([3, 3, 4, 4, 5, 5, 6, 7]);
  return {
    hosts,
    first: Math.max(1, hosts - prng.pick([0, 1, 1, 2])),
    net: {
      loss: prng.pick([0, 0, 0.01, 0.05, 0.15]),
      duplication: prng.pick([0, 0.02, 0.1]),
      delayMsMax: prng.pick([2, 10, 60]),
      straggle: prng.pick([0, 0, 0.01]),
      reorders: prng.chance(0.3),
      notice: prng.pick([1, 0.7, 0]),
    },
    diskMsMax: prng.pick([2, 2, 10, 40]),
    diskFailure: prng.pick([0, 0, 0, 0.002]),
    dies: {
      disk: prng.pick([0, 0, 0.002, 0.01]),
      network: prng.pick([0, 0, 0.0001, 0.0005]),
      join: prng.pick([0, 0.02, 0.06]),
    },
    powerCuts: prng.pick([0, 0.5, 1]),
    downMsMax: prng.pick([500, 3000, 9000]),
    drift: prng.pick([0, 0.001, 0.02]),
    snapshotEntries: prng.pick([12, 25, 60]),
    disasterMs: prng.chance(0.3) ? prng.between(5000, 12_000) : null,
    failedAfterMs: prng.pick([2000, 5000, 60_000]),
    repairPolicy: prng.pick(["replace", "replace", "open"]),
    between: {
      crashes: prng.pick([NEVER, 6000, 2500]),
      partitions: prng.pick([NEVER, 5000, 2500]),
      flaps: prng.pick([NEVER, NEVER, 4000]),
      closings: prng.pick([NEVER, 3000, 700]),
      freezes: prng.pick([NEVER, NEVER, 4000]),
      stalls: prng.pick([NEVER, NEVER, 4000]),
      fullDisks: prng.pick([NEVER, NEVER, NEVER, 5000]),
      clockJumps: prng.pick([NEVER, NEVER, 5000]),
      stops: prng.pick([NEVER, 8000, 4000]),
      handOvers: prng.pick([NEVER, 6000]),
      removals: prng.pick([NEVER, 9000, 6000]),
      writes: prng.pick([80, 150, 300]),
      reads: prng.pick([100, 250]),
    },
  };
}
