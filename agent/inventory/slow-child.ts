import { cpu, system } from "systeminformation";

import type { SlowFacts } from "./slow-facts.ts";

// A process of its own, asked once: systeminformation blocks its thread with child processes, and a thread of the agent's process
// would leave behind, for as long as the agent lives, most of the memory that it took.
// Of its calls only these two: osInfo() waits for DNS (`hostname -f`), and networkInterfaces() loses second addresses.

const [processor, machine] = await Promise.all([cpu(), system()]);
const model = [processor.manufacturer, processor.brand].filter((part) => part !== "").join(" ");
const facts: SlowFacts = {
  model: model === "" ? null : model,
  physicalCores: processor.physicalCores >= 1 ? processor.physicalCores : null,
  sockets: processor.processors >= 1 ? processor.processors : null,
  virtualization: machine.virtual ? machine.virtualHost || "unknown" : null,
};
process.stdout.write(JSON.stringify(facts));
