import { loadHistory } from "./history.ts";
import { judge } from "./verdict.ts";

// Judges a history that was kept: `node test/histories/judge.ts FILE`. Exit code 1 when a promise was broken.

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error("usage: node test/histories/judge.ts FILE");
  process.exit(2);
}
const { problems, result } = judge(await loadHistory(path));
for (const problem of problems) console.log(problem);
console.log(JSON.stringify(result));
process.exitCode = problems.length === 0 ? 0 : 1;
