import "./check-node.js";
import v8 from "node:v8";
import vm from "node:vm";

import { SystemClock } from "#agent/clock/system-clock.ts";
import { readConfig, type Config } from "#agent/config/read.ts";
import { explainFailure } from "#agent/explain-failure.ts";
import { createLog, type RootLog } from "#agent/log/logger.ts";
import { Notifier, NOTIFY_VARIABLES, notifySettings } from "#agent/systemd/notify.ts";

/** Longest an orderly stop may take; then the process ends as it is. */
const STOP_MS_MAX = 5000;
/** By then an agent that was there before has read its log and found its peers. */
const START_IS_OVER_MS = 30_000;
/** The part of its time that an agent with little to do is busy for at most. */
const IDLE_UTILIZATION_MAX = 0.05;
/** A terminal and npm both pass on one Ctrl-C: signals this close together count as one. */
const SAME_KEY_MS = 500;

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

// Whatever is written from here on is for this user alone; what others may use (the unix socket) is opened to them by name.
process.umask(0o077);

const outcome = readConfig(process.argv.slice(2), process.env);
switch (outcome.type) {
  case "print":
    process.stdout.write(`${outcome.text}\n`);
    break;
  case "refused":
    for (const problem of outcome.problems) process.stderr.write(`muster: ${problem}\n`);
    process.exitCode = 1;
    break;
  case "run":
    process.exit(await run(outcome.config));
}

/** The life of one agent. Answers with the exit code of the process. */
async function run(config: Config): Promise<number> {
  const log = createLog({ ...config.log, host: config.name });
  const notify = notifySettings(process.env, process.pid);
  for (const variable of NOTIFY_VARIABLES) delete process.env[variable];
  dieLoudly(log);
  const stopAsked = untilSignal(log);
  const notifier = new Notifier({ log: log.child({ part: "systemd" }), clock: new SystemClock() }, notify);

  try {
    growYoungHeap(false);
    // Loaded only now: --help and a wrong configuration answer at once, and an old Node never sees libp2p.
    const { startAgent } = await import("#agent/agent.ts");
    let agent = await startAgent(config, { log });
    growYoungHeap(true);
    forgetTheStart();
    log.info({ urls: agent.urls, data_dir: config.dataDir }, "agent is ready");
    await notifier.ready(`ready at ${agent.urls.join(" ")}`, () => agent.healthy());
    while (await Promise.race([stopAsked.then(() => false), agent.outgrown.then(() => true)])) {
      // Out of its cluster for good: the same host comes back as somebody else, so that it can join anew.
      log.info({}, "starting anew with another key");
      await agent.stop();
      agent = await startAgent(config, { log });
      log.info({ urls: agent.urls }, "agent is ready");
    }
    const stopping = notifier.stopping();
    await agent.stop();
    await stopping;
    log.info({}, "agent has stopped");
    return 0;
  } catch (error) {
    const expected = explainFailure(error);
    if (expected === null) log.fatal({ err: error }, "the agent cannot go on");
    else process.stderr.write(`muster: ${expected}\n`);
    return 1;
  }
}

/**
 * Whether the heap's young generation may grow. Loading the code makes much that stays and little that dies, for which a
 * larger one is of no use, yet it would grow to 48 MiB and an idle agent would keep them. Under load it pays, so it grows then.
 */
function growYoungHeap(grow: boolean): void {
  v8.setFlagsFromString(`--semi-space-growth-factor=${grow ? 2 : 1}`);
}

/**
 * Gives back, once and a while after the start, what only the start needed: the compiled form of code that runs once, and what the
 * heap grew by. An agent with little to do would otherwise keep it for hours, for it collects its garbage when it makes some.
 * It takes some hundredths of a second, and some seconds until what runs often is compiled again; a busy agent is left alone.
 */
function forgetTheStart(): void {
  v8.setFlagsFromString("--expose-gc");
  const collect = vm.runInNewContext("gc") as (options: { type: "major"; flavor: "last-resort" }) => void;
  let since = performance.eventLoopUtilization();
  const looking = setInterval(() => {
    const { utilization } = performance.eventLoopUtilization(since);
    since = performance.eventLoopUtilization();
    if (utilization > IDLE_UTILIZATION_MAX) return;
    clearInterval(looking);
    collect({ type: "major", flavor: "last-resort" });
  }, START_IS_OVER_MS).unref();
}

/** Resolves at the first signal to stop. From then on the clock runs, and a second signal ends the process at once. */
function untilSignal(log: RootLog): Promise<void> {
  return new Promise((resolve) => {
    let first: number | null = null;
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        const now = performance.now();
        if (first === null) {
          first = now;
          log.info({ signal }, "stopping");
          setTimeout(() => {
            log.fatal({ limit_ms: STOP_MS_MAX }, "could not stop in order within the limit, ending as it is");
            process.exit(1);
          }, STOP_MS_MAX).unref();
          resolve();
        } else if (now - first > SAME_KEY_MS) {
          log.fatal({ signal }, "second signal, ending at once");
          process.exit(1);
        }
      });
    }
  });
}

/** What nobody caught is a defect: the state is unknown, so the process ends and whoever started it starts it anew. */
function dieLoudly(log: RootLog): void {
  process.on("uncaughtException", (error, origin) => {
    log.fatal({ err: error, origin }, "uncaught, the agent ends");
    process.exit(1);
  });
  process.on("unhandledRejection", (reason) => {
    log.fatal({ err: reason }, "unhandled rejection, the agent ends");
    process.exit(1);
  });
}
