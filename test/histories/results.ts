import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import type { RunResult } from "#test/histories/report.ts";

// `npm run results`: real agents under real faults, all scenarios, and what came of them: docs/results/faults.jsonl for tools,
// faults.md for people. `npm run results -- --short` takes the short set. Ends with an error when a scenario failed.

const { values } = parseArgs({ options: { short: { type: "boolean" }, help: { type: "boolean" } } });
if (values.help === true) {
  console.log("npm run results [-- --short]: all faults, or the short set, on real processes; needs root");
  process.exit();
}
const short = values.short === true;
const folder = join(import.meta.dirname, "../../docs/results");
const lines = join(folder, "faults.jsonl");
const vitest = ["vitest", "run", "-c", "test/vitest.config.ts"];

rmSync(lines, { force: true });
const runs = [
  [...vitest, "--project", "netns"],
  [...vitest, "--project", "e2e", "test/e2e/histories.test.ts"],
].map((args) =>
  spawnSync("npx", args, {
    stdio: "inherit",
    env: { ...process.env, MUSTER_RESULTS: lines, ...(short ? { MUSTER_NETNS: "short" } : {}) },
  }),
);

const results = existsSync(lines)
  ? readFileSync(lines, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as RunResult)
  : [];
const rows = results.map(
  ({ scenario, seed, acknowledged, refused, unknown, lost, doubled, unavailable_ms, notes }) =>
    `| ${[scenario, seed ?? "–", acknowledged, refused, unknown, lost, doubled, Math.round(unavailable_ms), notes].join(" | ")} |`,
);
writeFileSync(
  join(folder, "faults.md"),
  `<!-- Written by \`npm run results\`; not to be edited. -->

# Real agents under real faults

Each line is one run: agents as processes, most of them on networks of their own, clients writing through all of them while
the fault lasts. *Unavailable* is the longest time in which no write was acknowledged although clients tried.

| scenario | seed | acknowledged | refused | unknown | lost | doubled | unavailable, ms | notes |
|---|---:|---:|---:|---:|---:|---:|---:|---|
${rows.join("\n")}
`,
);
console.log(`${results.length} results in docs/results/faults.md`);
process.exitCode = runs.every(({ status }) => status === 0) ? 0 : 1;
