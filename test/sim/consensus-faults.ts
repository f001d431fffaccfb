import type { Prng } from "#shared/lib/prng.ts";

/** What goes wrong, and how often. Each seed draws its own mix, so that no fault hides another for ever. */
export interface Faults {
  readonly loss: number;
  readonly duplication: number;
  readonly delayMax: number;
  /** Probability, when a message is sent, that it takes very long. */
  readonly straggle: number;
  readonly crashAtStep: number;
  readonly slowDisk: number;
  /** Longest time a member stays down, in units. */
  readonly downMax: number;
  /** Units between two ticks, at least and at most: clocks differ. */
  readonly tick: readonly [number, number];
  /** How much of the random part of election timeouts is left: little makes members campaign at once. */
  readonly jitter: number;
  /** Mean units between … */
  readonly betweenPartitions: number;
  readonly betweenCrashes: number;
  readonly betweenFreezes: number;
  readonly betweenConfigChanges: number;
  readonly betweenTransfers: number;
  readonly betweenCompactions: number;
  readonly betweenPulls: number;
  /** Bytes of entries in one answer to a pull. */
  readonly pullBytes: number;
}

const NEVER = Number.POSITIVE_INFINITY;

/** Nothing goes wrong: the world after it was healed. */
export const CALM: Faults = {
  loss: 0,
  duplication: 0,
  delayMax: 2,
  straggle: 0,
  crashAtStep: 0,
  slowDisk: 0,
  downMax: 1,
  tick: [4, 6],
  jitter: 1,
  betweenPartitions: NEVER,
  betweenCrashes: NEVER,
  betweenFreezes: NEVER,
  betweenConfigChanges: NEVER,
  betweenTransfers: NEVER,
  betweenCompactions: 200,
  betweenPulls: 10,
  pullBytes: 4000,
};

/** One seed's mix. */
export function drawFaults(prng: Prng): Faults {
  return {
    loss: prng.pick([0, 0, 0.02, 0.1, 0.3]),
    duplication: prng.pick([0, 0.05, 0.2]),
    delayMax: prng.pick([1, 3, 10, 40]),
    straggle: prng.pick([0, 0, 0.02]),
    crashAtStep: prng.pick([0, 0, 0.003, 0.02]),
    slowDisk: prng.pick([0, 0.1, 0.5]),
    downMax: prng.pick([10, 200]),
    tick: prng.pick([
      [4, 6],
      [1, 10],
    ]),
    jitter: prng.pick([1, 1, 0.2]),
    betweenPartitions: prng.pick([NEVER, 300, 80]),
    betweenCrashes: prng.pick([NEVER, 300, 80]),
    betweenFreezes: prng.pick([NEVER, 300, 100]),
    betweenConfigChanges: prng.pick([NEVER, 100, 20]),
    betweenTransfers: prng.pick([NEVER, 200, 60]),
    betweenCompactions: prng.pick([NEVER, 100, 20]),
    betweenPulls: prng.pick([200, 40, 10]),
    pullBytes: prng.pick([1, 200, 4000]),
  };
}
