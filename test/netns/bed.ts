import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { AgentProcess, formCluster } from "#test/support/agents.ts";
import type { Prng } from "#shared/lib/prng.ts";

import { run } from "./commands.ts";
import { PREFIX } from "./leftovers.ts";
import { Load, type LoadOptions } from "./load.ts";
import { Network } from "./network.ts";

const API_PORT = 9443;
const MESH_PORT = 9500;
/** A start costs a second of a core; many at once would all be late. */
const STARTS_AT_ONCE = 4;

/** Hosts on a network of their own, an agent on each, and clients that write through all of them. */
export class Bed implements AsyncDisposable {
  readonly agents: AgentProcess[] = [];
  readonly network: Network;
  readonly random: Prng;
  readonly #root: string;
  readonly #mounts: string[] = [];
  #load: Load | null = null;

  private constructor(options: { root: string; network: Network; random: Prng }) {
    this.#root = options.root;
    this.network = options.network;
    this.random = options.random;
  }

  static async create(random: Prng): Promise<Bed> {
    const root = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
    const network = new Network();
    await network.start();
    return new Bed({ root, network, random });
  }

  /** A new host with an agent that does not run yet; on a disk of its own if that is to be small. */
  async add({ diskMiB }: { diskMiB?: number } = {}): Promise<AgentProcess> {
    const host = this.agents.length + 1;
    await this.network.addHost(host);
    const name = `host-${host}`;
    if (diskMiB !== undefined) {
      await mkdir(join(this.#root, name));
      await run("mount", "-t", "tmpfs", "-o", `size=${diskMiB}m`, "none", join(this.#root, name));
      this.#mounts.push(join(this.#root, name));
    }
    const agent = new AgentProcess({
      name,
      address: this.network.addressOf(host),
      dir: join(this.#root, name),
      apiPort: API_PORT,
      meshPort: MESH_PORT,
      elsewhere: this.network.onHost(host),
    });
    this.agents.push(agent);
    return agent;
  }

  /** That many hosts with running agents, not bootstrapped. */
  async running(size: number, disk: { diskMiB?: number } = {}): Promise<AgentProcess[]> {
    const added: AgentProcess[] = [];
    for (let i = 0; i < size; i += 1) added.push(await this.add(disk));
    for (let i = 0; i < size; i += STARTS_AT_ONCE) {
      await Promise.all(added.slice(i, i + STARTS_AT_ONCE).map((agent) => agent.start()));
    }
    return added;
  }

  /** That many hosts in one cluster. */
  async formed(size: number, disk: { diskMiB?: number } = {}): Promise<AgentProcess[]> {
    const agents = await this.running(size, disk);
    await formCluster(agents);
    return agents;
  }

  /** Clients at work on every agent that is there now; once per bed. Resolves when the first writes are acknowledged. */
  async startLoad(options: LoadOptions = {}): Promise<Load> {
    if (this.#load !== null) throw new Error("one load is enough");
    this.#load = new Load([...this.agents], options);
    this.#load.start();
    await this.#load.untilMore(20);
    return this.#load;
  }

  get load(): Load | null {
    return this.#load;
  }

  others(agent: AgentProcess): AgentProcess[] {
    return this.agents.filter((other) => other !== agent);
  }

  anyOf(agents: readonly AgentProcess[]): AgentProcess {
    return this.random.pick(agents);
  }

  /** Their hosts' numbers, as the network counts them. */
  hosts(...agents: readonly AgentProcess[]): number[] {
    return agents.map((agent) => this.agents.indexOf(agent) + 1);
  }

  /** Gives the host of an agent that does not run the address 10.77.0.`last`. */
  async move(agent: AgentProcess, last: number): Promise<void> {
    const [host = 0] = this.hosts(agent);
    await this.network.move(host, last);
    agent.address = this.network.addressOf(host);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.agents.map((agent) => agent.stop("SIGKILL")));
    await this.#load?.stop();
    await this.network[Symbol.asyncDispose]();
    for (const mount of this.#mounts) await run("umount", mount);
    await rm(this.#root, { recursive: true, force: true });
  }
}
