import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { TestFleet } from "#test/support/agents.ts";
import { Bundle } from "#test/support/bundle.ts";
import { burnt } from "#test/bench/burnt.ts";
import { commits } from "#test/bench/commit.ts";
import { deaths } from "#test/bench/deaths.ts";
import { failovers } from "#test/bench/failover.ts";
import { formation, syncedPut } from "#test/bench/formation.ts";
import { idle, idleEtcd } from "#test/bench/idle.ts";
import { AS_THE_UNIT } from "#test/bench/fleets.ts";
import { inProcess } from "#test/bench/in-process.ts";
import { reads } from "#test/bench/reads.ts";
import { machine, Report } from "#test/bench/report.ts";
import { starts } from "#test/bench/start.ts";
import { spread } from "#test/bench/spread.ts";
import { virtualSpread } from "#test/bench/virtual-spread.ts";

// `npm run bench`: real agents as processes on loopback, as they are installed (bundled), beside etcd and Serf. Nothing here asserts.
// `npm run bench -- --only commit,deaths`: some chapters; `--list` names them.

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
    runs: { type: "string", default: "3" },
    seconds: { type: "string", default: "4" },
    minutes: { type: "string", default: "10" },
  },
});
const runs = Number(values.runs);
const seconds = Number(values.seconds);
const report = new Report();

async function withFleet(measure: (fleet: TestFleet) => Promise<void>): Promise<void> {
  await using bundle = await Bundle.make();
  await using fleet = await TestFleet.create({ main: bundle.main, env: AS_THE_UNIT });
  await measure(fleet);
}

const CHAPTERS: Readonly<Record<string, () => Promise<void>>> = {
  disk: () => syncedPut(report),
  start: () => starts(report, runs),
  formation: async () => {
    await formation(report, runs, withFleet);
  },
  commit: () => withFleet((fleet) => commits(report, fleet, runs, seconds)),
  reads: () => withFleet((fleet) => reads(report, fleet, runs, seconds)),
  failover: () => withFleet((fleet) => failovers(report, fleet, 10 * runs)),
  deaths: () => withFleet((fleet) => deaths(report, fleet, 20, runs)),
  spread: () => withFleet((fleet) => spread(report, fleet, 20)),
  "in-process": async () => {
    await inProcess(report, [20, 50, 200]);
    await virtualSpread(report, [20, 50, 200]);
  },
  idle: async () => {
    for (const size of [3, 5, 20, 50]) await withFleet((fleet) => idle(report, fleet, size));
    await idleEtcd(report);
  },
  burnt: () => withFleet((fleet) => burnt(report, fleet, 20, Number(values.minutes))),
};

if (values.help) {
  console.log("npm run bench [-- [--list] [--only CHAPTER,…] [--runs N] [--seconds N] [--minutes N]]");
} else if (values.list) {
  console.log(Object.keys(CHAPTERS).join("\n"));
} else {
  execFileSync(join(import.meta.dirname, "setup"), { stdio: "inherit" });
  const chosen = values.only?.split(",") ?? Object.keys(CHAPTERS);
  const unknown = chosen.filter((name) => CHAPTERS[name] === undefined);
  if (unknown.length > 0) throw new Error(`there is no chapter ${unknown.join(", ")}; see --list`);
  console.log(`machine: ${machine()}`);
  for (const name of chosen) {
    const how = `npm run bench -- --only ${name}`;
    try {
      await CHAPTERS[name]?.();
    } finally {
      // What was measured before something failed took its time, too.
      report.write(join(import.meta.dirname, "../../docs/results"), name, how);
      report.clear();
    }
  }
}
