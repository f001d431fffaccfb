import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Runs a program of the system and answers with what it printed. Rejects with its complaint. */
export async function run(program: string, ...args: string[]): Promise<string> {
  return (await execute(program, args)).stdout;
}

/** The same for the moment at which a process ends and nothing can be awaited; a failure is left to the next run's sweep. */
export function runNow(program: string, ...args: string[]): string {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return "";
  }
}
