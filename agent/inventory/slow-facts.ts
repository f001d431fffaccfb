import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

import type { Clock } from "#agent/ports/clock.ts";

/** What is asked once, by a process of its own: it takes tenths of a second and starts processes. */
export interface SlowFacts {
  readonly model: string | null;
  readonly physicalCores: number | null;
  readonly sockets: number | null;
  /** Kind of hypervisor or container; null on plain hardware or when unknown. */
  readonly virtualization: string | null;
}

/** The one place that knows where the child's code is. */
const CHILD = fileURLToPath(new URL("./slow-child.ts", import.meta.url));

/** Most that it may say. Bytes. */
const ANSWER_BYTES_MAX = 64 * 1024;

/** Runs the child once. Rejects when it fails or the deadline passes; it is killed then. */
export async function readSlowFacts(clock: Clock, deadlineMs: number): Promise<SlowFacts> {
  const done = new AbortController();
  const deadline = clock.sleep(deadlineMs, done.signal).then(
    () => done.abort(new Error(`the inventory's child took longer than ${deadlineMs} ms`)),
    () => undefined, // Answered in time.
  );
  try {
    return JSON.parse(await output(done.signal)) as SlowFacts;
  } finally {
    done.abort();
    await deadline;
  }
}

function output(signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = {
      signal,
      killSignal: "SIGKILL",
      maxBuffer: ANSWER_BYTES_MAX,
      // Nothing of the agent's own: no options meant for its process, and words in English to be understood.
      env: { PATH: process.env["PATH"], LC_ALL: "C" },
    } as const;
    execFile(process.execPath, [CHILD], options, (error, stdout) => {
      if (error === null) resolve(stdout);
      else reject(signal.aborted ? (signal.reason as Error) : error);
    });
  });
}
