import type { Version } from "./wire.ts";

/** Whether the first of two versions of one host's report is the later one. */
export function isNewer(a: Version, b: Version): boolean {
  return a[0] === b[0] ? a[1] > b[1] : a[0] > b[0];
}

export function nextOf([starts, count]: Version): Version {
  return [starts, count + 1];
}
