import { Worker } from "node:worker_threads";

import type { Clock } from "#agent/ports/clock.ts";

/** What is asked once, from a thread of its own: it takes tenths of a second and starts processes. */
export interface SlowFacts {
  readonly model: string | null;
  readonly physicalCores: number | null;
  readonly sockets: number | null;
  /** Kind of hypervisor or container; null on plain hardware or when unknown. */
  readonly virtualization: string | null;
}

/** The one place that knows where the worker's code is. */
const WORKER = new URL("./slow-worker.ts", import.meta.url);

/** Runs the worker once. Rejects when it fails or the deadline passes; the thread is stopped then. */
export function readSlowFacts(clock: Clock, deadlineMs: number): Promise<SlowFacts> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(WORKER);
    worker.unref();
    const done = new AbortController();
    const end = (settle: () => void): void => {
      done.abort();
      // Not waited for: a thread inside a synchronous child process stops only when that process ends.
      void worker.terminate();
      settle();
    };
    worker.once("message", (facts: SlowFacts) => end(() => resolve(facts)));
    worker.once("error", (error) => end(() => reject(error)));
    worker.once("exit", () => end(() => reject(new Error("the inventory worker ended without an answer"))));
    clock.sleep(deadlineMs, done.signal).then(
      () => end(() => reject(new Error(`the inventory worker took longer than ${deadlineMs} ms`))),
      () => undefined, // Answered in time.
    );
  });
}
