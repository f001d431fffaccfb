import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { open, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { DevRefused, type DevAgent } from "./layout.ts";

const MAIN = fileURLToPath(new URL("../../main.ts", import.meta.url));

/** An agent stops within 5 s by itself; then it is killed. */
const STOP_MS_MAX = 7000;

/** How one agent ended: `signal SIGKILL`, `exit code 1`, with its last words when they were meant for people. */
export type Ending = string;

/** The running agents of one development cluster. */
export class Children {
  readonly #running = new Map<string, { readonly process: ChildProcess; readonly ended: Promise<null> }>();

  /** Starts one agent with its log going to its folder. It is in a process group of its own: Ctrl-C reaches only this program. */
  async start(agent: DevAgent, onEnd: (ending: Ending) => void): Promise<void> {
    const log = await open(agent.logFile, "a", 0o600);
    const child = spawn(process.execPath, [MAIN, "--config", agent.configFile, "--log-format", "json"], {
      stdio: ["ignore", log.fd, log.fd],
      detached: true,
    });
    const ended = once(child, "exit").then(async ([code, signal]) => {
      this.#running.delete(agent.name);
      const how = signal === null ? `exit code ${String(code)}` : `signal ${String(signal)}`;
      onEnd(how + (await lastWords(agent.logFile)));
      return null;
    });
    this.#running.set(agent.name, { process: child, ended });
    await once(child, "spawn");
    await log.close();
  }

  pid(name: string): number | null {
    return this.#running.get(name)?.process.pid ?? null;
  }

  get count(): number {
    return this.#running.size;
  }

  /** Stops all in order; whoever does not end in time is killed. */
  async stop(): Promise<void> {
    const all = [...this.#running.values()];
    for (const { process: child } of all) child.kill("SIGTERM");
    const impatience = setTimeout(() => this.kill(), STOP_MS_MAX);
    await Promise.all(all.map(({ ended }) => ended));
    clearTimeout(impatience);
  }

  kill(): void {
    for (const { process: child } of this.#running.values()) child.kill("SIGKILL");
  }
}

/** The last line of a log when it is a sentence rather than an event. */
async function lastWords(logFile: string): Promise<string> {
  const last = (await readFile(logFile, "utf8").catch(() => "")).trimEnd().split("\n").at(-1) ?? "";
  return last.startsWith("muster: ") ? `, ${last.slice("muster: ".length, 500)}` : "";
}

/** The process numbers of a development cluster on disk, for the next one on the same folder. */
export class RunRecord {
  readonly #file: string;
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = resolve(dir);
    this.#file = join(this.#dir, "running.json");
  }

  /**
   * Makes sure that nobody else works on the folder. Agents whose own `npm start` was killed are stopped; a process is
   * taken for one of ours only when its command line names this very folder.
   */
  async takeOver(tell: (line: string) => void): Promise<void> {
    const former = await this.#load();
    if (former === null) return;
    if (former.parent !== process.pid && (await commandOf(former.parent)).includes("muster.js")) {
      throw new DevRefused(`process ${former.parent} already runs a cluster in ${this.#dir}; end it first`);
    }
    for (const pid of former.agents) {
      if (!(await commandOf(pid)).includes(this.#dir)) continue;
      tell(`stopping agent ${pid}, left over from an earlier run`);
      process.kill(pid, "SIGTERM");
      const deadline = Date.now() + STOP_MS_MAX;
      while ((await commandOf(pid)) !== "" && Date.now() < deadline)
        await new Promise((go) => setTimeout(go, 50));
      if ((await commandOf(pid)) !== "") process.kill(pid, "SIGKILL");
    }
    await this.clear();
  }

  async save(agents: readonly number[]): Promise<void> {
    await writeFile(this.#file, `${JSON.stringify({ parent: process.pid, agents })}\n`);
  }

  clear(): Promise<void> {
    return rm(this.#file, { force: true });
  }

  async #load(): Promise<{ readonly parent: number; readonly agents: readonly number[] } | null> {
    try {
      const read = JSON.parse(await readFile(this.#file, "utf8")) as { parent?: unknown; agents?: unknown };
      const agents = Array.isArray(read.agents) ? read.agents.filter((pid) => Number.isInteger(pid)) : [];
      return { parent: Number(read.parent), agents: agents as number[] };
    } catch {
      return null; // No earlier run, or its record is torn: nothing to take over.
    }
  }
}

/** The command line of a process; empty when there is none (also for a zombie). */
async function commandOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return text.replaceAll("\0", " ").trim();
}
