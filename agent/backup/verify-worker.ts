import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

import { judgeBackup } from "./form.ts";

// Entry of the worker thread: see verify.ts.

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin; that is for windows.
parentPort?.postMessage(judgeBackup(readFileSync(workerData as string)));
