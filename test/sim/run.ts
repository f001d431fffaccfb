import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

// `npm run test:sim -- --seeds 10000` runs that many seeds of every simulation; `-- --seed 4711` replays one.

const { values } = parseArgs({ options: { seeds: { type: "string" }, seed: { type: "string" } } });
const env = { ...process.env };
if (values.seeds !== undefined) env["SIM_SEEDS"] = values.seeds;
if (values.seed !== undefined) env["SIM_SEED"] = values.seed;
const root = new URL("../..", import.meta.url).pathname;
const { status } = spawnSync("vitest", ["run", "-c", "test/vitest.config.ts", "--project", "sim"], {
  cwd: root,
  env,
  stdio: "inherit",
});
process.exitCode = status ?? 1;
