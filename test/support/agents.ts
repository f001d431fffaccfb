import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { call, type Answer, type Call } from "#test/support/http.ts";

const MAIN = new URL("../../agent/main.ts", import.meta.url).pathname;

const ADMIN = { username: "admin@example.com", password: "correct horse battery" } as const;
export const AUTH = `${ADMIN.username}:${ADMIN.password}`;

/** Not the variables of the tests themselves: an agent refuses a MUSTER_ variable that it does not know. */
const inherited = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith("MUSTER_")),
);

/** Pieces of output kept of one agent: all of a test, the end of a long benchmark. */
const OUTPUT_CHUNKS_MAX = 20_000;

/** How long a test waits for something that must come; generous, for a loaded machine. Reaching it is a failure. */
const WAIT_MS = 60_000;

/** One agent as an operator runs it: its own process, data directory and address. */
export class AgentProcess {
  readonly name: string;
  /** Where it listens from its next start on. */
  address: string;
  readonly dir: string;
  readonly apiPort: number;
  readonly meshPort: number;
  /** Environment variables the process gets beside the test's own. */
  readonly env: Record<string, string>;
  /** Set for an agent whose addresses the test cannot reach: how its process is launched there. It is called on its unix socket. */
  readonly #elsewhere: readonly string[] | null;
  /** The file that is started. */
  readonly #main: string;
  #child: ChildProcess | null = null;
  readonly #output: string[] = [];
  readonly #lineListeners = new Set<(line: string) => void>();

  constructor(options: {
    name: string;
    address: string;
    dir: string;
    apiPort: number;
    meshPort: number;
    env?: Record<string, string>;
    elsewhere?: readonly string[];
    main?: string;
  }) {
    this.name = options.name;
    this.address = options.address;
    this.dir = options.dir;
    this.apiPort = options.apiPort;
    this.meshPort = options.meshPort;
    this.env = options.env ?? {};
    this.#elsewhere = options.elsewhere ?? null;
    this.#main = options.main ?? MAIN;
  }

  get url(): string {
    return `https://${this.address}:${this.apiPort}`;
  }

  /** The plain-HTTP listener, for load generators. */
  get plainUrl(): string {
    return `http://${this.address}:${this.apiPort + 1}`;
  }

  get socketPath(): string {
    return join(this.dir, "muster.sock");
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.name} does not run`);
    return pid;
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Everything it has printed so far, of all its lives. */
  get output(): string {
    return this.#output.join("");
  }

  /** Calls back with each line of output from now on, as soon as it is there. */
  onLine(listener: (line: string) => void): Disposable {
    this.#lineListeners.add(listener);
    return { [Symbol.dispose]: () => this.#lineListeners.delete(listener) };
  }

  /** Starts the process and waits until its API answers. */
  async start(): Promise<void> {
    const flags = [
      ["--config", "/dev/null"],
      ["--data-dir", this.dir],
      ["--name", this.name],
      ["--api-listen", this.url],
      ["--api-listen", this.plainUrl],
      ["--api-listen", `unix:${this.socketPath}`],
      ["--mesh-listen", `${this.address}:${this.meshPort}`],
    ].flat();
    const config = join(this.dir, "muster.json");
    await mkdir(this.dir, { recursive: true });
    await writeFile(config, "{}");
    flags[1] = config;
    const [program, ...args] = [...(this.#elsewhere ?? []), process.execPath, this.#main, ...flags] as [
      string,
    ];
    const child = spawn(program, args, {
      env: { ...inherited, ...this.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    const keep = (chunk: Buffer): void => {
      this.#output.push(chunk.toString("utf8"));
      if (this.#output.length > OUTPUT_CHUNKS_MAX) this.#output.splice(0, OUTPUT_CHUNKS_MAX / 2);
    };
    child.stdout.on("data", keep);
    createInterface({ input: child.stdout }).on("line", (line) => {
      for (const listener of this.#lineListeners) listener(line);
    });
    child.stderr.on("data", keep);
    await this.until("its API answers", async () => {
      if (!this.running) throw new Error(`${this.name} ended at start:\n${this.output.slice(-4000)}`);
      return (await this.get("/muster/v1/health/live")).status === 200;
    });
  }

  /** Sends a signal and waits for the process to end; answers with its exit code (null when killed by the signal). */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    const child = this.#child;
    if (child === null || !this.running) return null;
    const ended = once(child, "exit");
    child.kill(signal);
    const [code] = (await ended) as [number | null];
    return code;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  call(path: string, options: Call = {}): Promise<Answer> {
    if (this.#elsewhere === null) return call(`${this.url}${path}`, options);
    return call(`http://localhost${path}`, { ...options, socketPath: this.socketPath });
  }

  get(path: string): Promise<Answer> {
    return this.call(path, { auth: AUTH });
  }

  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.call(path, { method: "POST", body, auth: AUTH, headers });
  }

  /** Polls until the check holds. A refused connection counts as "not yet". */
  async until(what: string, check: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + WAIT_MS;
    let last: unknown = null;
    while (Date.now() < deadline) {
      try {
        if (await check()) return;
      } catch (error) {
        if (!(error instanceof Error && "code" in error) && !String(error).includes("no answer")) throw error;
        last = error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(
      `${this.name}: ${what}: not within ${WAIT_MS} ms (${String(last)})\n${this.output.slice(-6000)}`,
    );
  }

  async bootstrapState(): Promise<string> {
    const answer = await this.get("/v1/bootstrap");
    return String(answer.json?.bootstrap_status?.state);
  }

  async untilState(state: string): Promise<Answer> {
    await this.until(`bootstrap state ${state}`, async () => {
      const now = await this.bootstrapState();
      if (now === "error" && state !== "error") {
        throw new Error(`${this.name}: bootstrap failed: ${(await this.get("/v1/bootstrap")).text}`);
      }
      return now === state;
    });
    return this.get("/v1/bootstrap");
  }

  create(name = "test.cluster"): Promise<Answer> {
    return this.call("/v1/bootstrap/create_cluster", {
      method: "POST",
      body: { action: "create_cluster", cluster: { nodes: [], name }, credentials: ADMIN },
    });
  }

  join(
    sponsors: readonly AgentProcess[],
    credentials: { username: string; password: string } = ADMIN,
  ): Promise<Answer> {
    return this.call("/v1/bootstrap/join_cluster", {
      method: "POST",
      body: {
        action: "join_cluster",
        cluster: { nodes: sponsors.map(({ address, apiPort }) => `${address}:${apiPort}`) },
        credentials,
      },
    });
  }
}

interface FleetOptions {
  /** The agent's program; the sources' when left out. */
  readonly main?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A set of agents on 127.0.0.x with a folder of their own; all are killed and removed at the end. */
export class TestFleet implements AsyncDisposable {
  readonly agents: AgentProcess[] = [];
  readonly root: string;
  readonly #options: FleetOptions;
  #next = 1;

  private constructor(root: string, options: FleetOptions) {
    this.root = root;
    this.#options = options;
  }

  static async create(options: FleetOptions = {}): Promise<TestFleet> {
    return new TestFleet(await mkdtemp(join(tmpdir(), "muster-e2e-")), options);
  }

  async add(env: Record<string, string> = {}): Promise<AgentProcess> {
    const number = this.#next;
    this.#next += 1;
    const address = `127.0.0.${number}`;
    const agent = new AgentProcess({
      name: `host-${number}`,
      address,
      dir: join(this.root, `host-${number}`),
      apiPort: await freePort(address),
      meshPort: await freePort(address),
      env: { ...this.#options.env, ...env },
      ...(this.#options.main === undefined ? {} : { main: this.#options.main }),
    });
    this.agents.push(agent);
    return agent;
  }

  /** That many agents, started, bootstrapped into one cluster through the public API; returns once all are voters or learners. */
  async formed(size: number): Promise<AgentProcess[]> {
    const agents = await Promise.all(Array.from({ length: size }, () => this.add()));
    await Promise.all(agents.map((agent) => agent.start()));
    await formCluster(agents);
    return agents;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.agents.map((agent) => agent.stop("SIGKILL")));
    await rm(this.root, { recursive: true, force: true });
  }
}

/** Makes one cluster of running agents through the public API; returns once all are voters or learners. */
export async function formCluster(agents: readonly AgentProcess[]): Promise<void> {
  const [first, ...others] = agents as [AgentProcess, ...AgentProcess[]];
  expectStatus(await first.create(), 200);
  await first.untilState("completed");
  for (const agent of others) expectStatus(await agent.join([first]), 200);
  await Promise.all(others.map((agent) => agent.untilState("completed")));
  const voters = agents.length >= 5 ? 5 : agents.length >= 3 ? 3 : 1;
  await untilVoters(agents, voters);
}

/** Waits until every agent sees that many voters and all agree on who leads. */
export async function untilVoters(agents: readonly AgentProcess[], voters: number): Promise<void> {
  for (const agent of agents) {
    await agent.until(`sees ${voters} voters and a leader`, async () => {
      const { json } = await agent.get("/muster/v1/members");
      const members = (json?.members ?? []) as { role: string }[];
      const voting = members.filter(({ role }) => role === "leader" || role === "voter");
      return voting.length === voters && members.some(({ role }) => role === "leader");
    });
  }
}

/** The agent that leads now, as seen from one of them. */
export async function leaderOf(agents: readonly AgentProcess[], asked = agents[0]): Promise<AgentProcess> {
  let leader: AgentProcess | undefined;
  if (asked === undefined) throw new Error("nobody to ask");
  await asked.until("a leader is known", async () => {
    const { json } = await asked.get("/muster/v1/members");
    const name = (json?.members as { role: string; name: string }[] | undefined)?.find(
      (m) => m.role === "leader",
    )?.name;
    leader = agents.find((agent) => agent.name === name && agent.running);
    return leader !== undefined;
  });
  return leader as AgentProcess;
}

function expectStatus(answer: Answer, status: number): void {
  if (answer.status !== status) throw new Error(`expected ${status}, got ${answer.status}: ${answer.text}`);
}

async function freePort(address: string): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 20_000);
    if ((await canListen(address, port)) && (await canListen(address, port + 1))) return port;
  }
}

function canListen(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, address, () => server.close(() => resolve(true)));
  });
}
