import { parentPort } from "node:worker_threads";

import { cpu, system } from "systeminformation";

import type { SlowFacts } from "./slow-facts.ts";

// Entry of the worker thread. systeminformation blocks its thread with child processes, so it never runs on the main one.
// Of its calls only these two: osInfo() waits for DNS (`hostname -f`), and networkInterfaces() loses second addresses.

const [processor, machine] = await Promise.all([cpu(), system()]);
const model = [processor.manufacturer, processor.brand].filter((part) => part !== "").join(" ");
const facts: SlowFacts = {
  model: model === "" ? null : model,
  physicalCores: processor.physicalCores >= 1 ? processor.physicalCores : null,
  sockets: processor.processors >= 1 ? processor.processors : null,
  virtualization: machine.virtual ? machine.virtualHost || "unknown" : null,
};
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin; that is for windows.
parentPort?.postMessage(facts);
