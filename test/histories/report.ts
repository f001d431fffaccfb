import { appendFile, mkdir } from "node:fs/promises";
import { dirname } from "node:path";

/** What one run of real agents under faults came to. One JSON line each; tools read it, so fields are only ever added. */
export interface RunResult {
  /** What was done to the agents, in a few words. */
  readonly scenario: string;
  /** Seed of the clients' choices; null where nothing was drawn. */
  readonly seed: number | null;
  /** Writes that were answered with success. */
  readonly acknowledged: number;
  /** Writes that certainly had no effect for want of a majority. */
  readonly refused: number;
  /** Writes of which the client does not know whether they took effect. */
  readonly unknown: number;
  /** Acknowledged writes that are missing afterwards. */
  readonly lost: number;
  /** Writes that took effect more than once. */
  readonly doubled: number;
  /** Longest time in which no write was acknowledged although clients tried. Milliseconds. */
  readonly unavailable_ms: number;
  /** Anything else worth telling: how many agents, how many operations, what a judge found. */
  readonly notes: string;
}

/** Adds the result to the file that MUSTER_RESULTS names; without it, does nothing. */
export async function appendResult(result: RunResult): Promise<void> {
  const path = process.env["MUSTER_RESULTS"];
  if (path === undefined || path === "") return;
  await mkdir(dirname(path), { recursive: true });
  // One call for the whole line: lines of test files that run side by side do not mix.
  await appendFile(path, `${JSON.stringify(result)}\n`);
}
