import type { HostFacts } from "#shared/model/hardware.ts";

/** Free space that moved by less, or by a smaller part of what was told, is the usual ebb and flow. Bytes. */
const FREE_BYTES_MIN = 64 * 1024 * 1024;
const FREE_PART_MIN = 0.05;

/**
 * The longest that others go on with old numbers though nothing happened. What a report costs each agent of the cluster, some
 * 4 kB, comes once per host and period: among 1,000 hosts 1 kB/s with an hour, 13 kB/s with five minutes. That a host is alive
 * says meanwhile that its free memory and space are still near what it told. Milliseconds.
 */
export const RETELL_MS = 3_600_000;

/**
 * Whether these facts tell others something that matters. Load and uptime always differ and say little; memory and disk
 * breathe. Would each such change be told, every host of the cluster would hear of every other one every few seconds.
 */
export function isNews(told: HostFacts, now: HostFacts): boolean {
  if (steadyPart(told) !== steadyPart(now)) return true;
  const free = freeOf(now);
  return freeOf(told).some((before, i) => hasMoved(before, free[i] ?? 0));
}

/** Nearly exhausted, a smaller change matters too: what has halved is always told. */
function hasMoved(before: number, now: number): boolean {
  return Math.abs(now - before) > Math.max(FREE_BYTES_MIN, before * FREE_PART_MIN) || now < before / 2;
}

/** Memory first, then the folders in their order; 0 for what is not known. The steady part tells the two apart. */
function freeOf({ live }: HostFacts): readonly number[] {
  return [live.memory_free, ...live.storage.map(({ free }) => free ?? 0)];
}

function steadyPart({ static: fixed, live, stale }: HostFacts): string {
  const storage = live.storage.map((path) => ({ ...path, free: path.free === null ? null : 0 }));
  return JSON.stringify([fixed, storage, live.clock, stale]);
}
