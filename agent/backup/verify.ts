import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";

import { judgeBackup, type Verdict } from "./form.ts";
import type { Clock } from "#agent/ports/clock.ts";

/** The one place that knows where the worker's code is. */
const WORKER = new URL("./verify-worker.ts", import.meta.url);

/** Longest a file may take to be read back. Milliseconds. */
const VERIFY_MS_MAX = 120_000;

/** Up to this size it takes less time than starting a thread, and delays nobody. */
const AT_ONCE_BYTES_MAX = 256 * 1024;

/**
 * Reads a backup whole, as a recovery would. A large one in a thread of its own: it takes tenths of a second, which the agent's own
 * must not lose. Rejects when it cannot be read at all.
 */
export async function verifyBackup(
  path: string,
  bytes: number,
  { clock }: { readonly clock: Clock },
): Promise<Verdict> {
  return bytes <= AT_ONCE_BYTES_MAX ? judgeBackup(await readFile(path)) : inThread(path, clock);
}

function inThread(path: string, clock: Clock): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(WORKER, { workerData: path });
    worker.unref();
    const done = new AbortController();
    const end = (settle: () => void): void => {
      done.abort();
      void worker.terminate();
      settle();
    };
    worker.once("message", (verdict: Verdict) => end(() => resolve(verdict)));
    worker.once("error", (error) => end(() => reject(error)));
    worker.once("exit", () =>
      end(() => reject(new Error("reading the backup back ended without an answer"))),
    );
    clock.sleep(VERIFY_MS_MAX, done.signal).then(
      () =>
        end(() => reject(new Error(`reading the backup back took longer than ${VERIFY_MS_MAX / 1000} s`))),
      () => undefined, // Answered in time.
    );
  });
}
