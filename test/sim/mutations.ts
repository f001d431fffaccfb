import { spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { CONSENSUS_MUTATIONS, type Mutation } from "./consensus-mutations.ts";

// Plants one mistake at a time in a copy of the code and tells which tests notice: `node test/sim/mutations.ts`.
// Options: --seeds N (default 100), --only TEXT (mutations whose name contains it). Exit code 1 if one goes unnoticed.

const ROOT = new URL("../..", import.meta.url).pathname;
const RUN_MS_MAX = 300_000;
const TESTS = [
  ["sim", "test/sim/consensus.test.ts"],
  ["unit", "test/unit/shared/consensus"],
] as const;

interface Report {
  readonly testResults: readonly {
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly title: string }[];
  }[];
}

const { values } = parseArgs({
  options: { seeds: { type: "string", default: "100" }, only: { type: "string", default: "" } },
});

/** A copy of what the tests need; libraries are shared with the original. */
async function copyTree(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "muster-mutation-"));
  for (const name of [
    "shared",
    "package.json",
    "tsconfig.json",
    "test/vitest.config.ts",
    "test/sim",
    "test/unit/shared",
  ]) {
    await cp(join(ROOT, name), join(dir, name), { recursive: true });
  }
  await symlink(join(ROOT, "node_modules"), join(dir, "node_modules"));
  return dir;
}

async function plant(dir: string, { name, edits }: Mutation): Promise<void> {
  for (const { file, find, put } of edits) {
    const text = await readFile(join(dir, file), "utf8");
    const places = text.split(find).length - 1;
    if (places !== 1) throw new Error(`"${name}": the text to replace occurs ${places} times in ${file}`);
    await writeFile(
      join(dir, file),
      text.replace(find, () => put),
    );
  }
}

/** Titles of the tests that fail; what cannot even be loaded counts as one failure of its own. */
async function failures(dir: string, project: string, path: string): Promise<string[]> {
  const outputFile = join(dir, `${project}.json`);
  const args = ["run", "-c", "test/vitest.config.ts", "--project", project, "--reporter=json"];
  const child = spawn("vitest", [...args, `--outputFile=${outputFile}`, path], {
    cwd: dir,
    env: { ...process.env, SIM_SEEDS: values.seeds },
    stdio: "ignore",
    timeout: RUN_MS_MAX,
    killSignal: "SIGKILL",
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  if (code === null) return ["does not end"];
  const report = JSON.parse(await readFile(outputFile, "utf8")) as Report;
  return report.testResults.flatMap(({ status, message, assertionResults }) => {
    const titles = assertionResults.filter((one) => one.status === "failed").map((one) => one.title);
    return titles.length === 0 && status === "failed"
      ? [message.split("\n")[0] ?? "cannot be loaded"]
      : titles;
  });
}

let unnoticed = 0;
for (const mutation of CONSENSUS_MUTATIONS.filter(({ name }) => name.includes(values.only))) {
  const dir = await copyTree();
  try {
    await plant(dir, mutation);
    const cells: string[] = [];
    for (const [project, path] of TESTS) {
      const titles = await failures(dir, project, path);
      const first = /SIM_SEED=\d+/u.exec(titles[0] ?? "")?.[0] ?? titles[0];
      cells.push(first === undefined ? "–" : `${titles.length} (${first})`);
    }
    if (cells.every((cell) => cell === "–")) unnoticed += 1;
    console.log(`| ${mutation.name} | ${cells.join(" | ")} |`);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
console.log(unnoticed === 0 ? "every mutation was noticed" : `${unnoticed} mutations went unnoticed`);
process.exitCode = unnoticed === 0 ? 0 : 1;
