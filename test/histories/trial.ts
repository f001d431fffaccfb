import { leaderOf, type AgentProcess } from "#test/support/agents.ts";

import type { Wish } from "./attempt.ts";
import type { Clients } from "./clients.ts";
import type { Call } from "./history.ts";

/** Pause between reads asked of a stopped agent. */
const PROBE_MS = 100;
/** Longer than an agent waits for another (2 s): what a stopped one had under way is sent again when it wakes up. */
const STOPPED_MS_MIN = 2500;
/** Writes asked of an agent at the moment before it is stopped. */
const VOLLEY = 6;
/** How long clients wait for a leader that nobody follows. Milliseconds: shorter than it takes to step down. */
const IMPATIENT_MS = 400;
/** Writes that clients give up, or are told of, at a leader that nobody follows. */
const ALONE_WRITES = 12;

/** What a test does to the agents while clients go on. */
export class Trial {
  readonly #agents: readonly AgentProcess[];
  readonly #clients: Clients;
  readonly #nodes: readonly [string, ...string[]];
  #volleys = 0;

  constructor(agents: readonly AgentProcess[], clients: Clients, nodes: readonly [string, ...string[]]) {
    this.#agents = agents;
    this.#clients = clients;
    this.#nodes = nodes;
  }

  /** Waits for that many more acknowledged writes. */
  async progress(writes: number): Promise<void> {
    const goal = this.#clients.acknowledged + writes;
    await this.#until(`${writes} more writes are acknowledged`, () => this.#clients.acknowledged >= goal);
  }

  async leader(): Promise<AgentProcess> {
    return leaderOf(this.#agents, this.#up());
  }

  async follower(): Promise<AgentProcess> {
    const leader = await this.leader();
    return this.#agents.find((agent) => agent !== leader) as AgentProcess;
  }

  /** Kill -9; writes go on without it; then it comes back. */
  async kill(agent: AgentProcess, writes: number): Promise<void> {
    this.#clients.away(agent);
    await agent.stop("SIGKILL");
    await this.progress(writes);
    await this.#restart(agent);
  }

  /**
   * Stops it with writes under way while others write on, and keeps asking it. It answers when it wakes up: the moment in
   * which an old leader knows least, and a follower knows least of what became of its writes.
   */
  async stop(agent: AgentProcess, writes: number): Promise<void> {
    this.#clients.away(agent);
    const asked = await this.#volley(agent);
    agent.signal("SIGSTOP");
    const probing = setInterval(() => asked.push(...this.#probes(agent)), PROBE_MS);
    const longEnough = new Promise((resolve) => setTimeout(resolve, STOPPED_MS_MIN));
    try {
      await this.progress(writes);
      await longEnough;
    } finally {
      clearInterval(probing);
      agent.signal("SIGCONT");
    }
    this.#clients.back(agent);
    await Promise.all(asked);
  }

  /**
   * Nobody hears the leader any more, and clients write at it; then all die, and the others come back before it does. Agents
   * that were only stopped would still find its messages in their sockets.
   */
  async outvote(leader: AgentProcess, writes: number): Promise<void> {
    const others = this.#agents.filter((agent) => agent !== leader);
    for (const agent of others) {
      this.#clients.away(agent);
      agent.signal("SIGSTOP");
    }
    this.#clients.patienceMs = IMPATIENT_MS;
    const goal = this.#clients.writesTried + ALONE_WRITES;
    await this.#until("clients wrote at the leader", () => this.#clients.writesTried >= goal);
    this.#clients.away(leader);
    await Promise.all(this.#agents.map((agent) => agent.stop("SIGKILL")));
    this.#clients.patienceMs = null;
    await Promise.all(others.map((agent) => this.#restart(agent)));
    await this.progress(writes);
    await this.#restart(leader);
  }

  /** Everything that clients were told must now be there, whoever is asked. */
  async finish(): Promise<void> {
    await this.#clients.stop();
    for (const agent of this.#agents) {
      for (const wish of [readZones(), ...this.#nodes.map(readNode)]) {
        await agent.until("reads linearizably", async () => {
          const { outcome } = await this.#clients.ask(agent, wish);
          return outcome.type === "answered";
        });
      }
    }
  }

  async #restart(agent: AgentProcess): Promise<void> {
    this.#clients.reborn(agent);
    await agent.start();
    this.#clients.back(agent);
  }

  /** Resolves with the first answer: the other writes are under way between agents. */
  async #volley(agent: AgentProcess): Promise<Promise<Call>[]> {
    const [node] = this.#nodes;
    this.#volleys += 1;
    const asked = Array.from({ length: VOLLEY }, (_, count) => {
      const uri = `volley-${this.#volleys}-${count}`;
      return this.#clients.ask(agent, { action: { type: "set_uri", node, uri }, read: null, key: null });
    });
    await Promise.race(asked);
    return asked;
  }

  #probes(agent: AgentProcess): Promise<Call>[] {
    const known: Wish = {
      ...readNode(this.#nodes[0]),
      read: { consistency: "default", min_index: this.#clients.newestIndex },
    };
    return [readZones(), known].map((wish) => this.#clients.ask(agent, wish));
  }

  #until(what: string, holds: () => boolean): Promise<void> {
    return this.#up().until(what, () => Promise.resolve(holds()));
  }

  #up(): AgentProcess {
    return this.#agents.find((agent) => !this.#clients.isAway(agent)) as AgentProcess;
  }
}

function readZones(): Wish {
  return { action: { type: "read_zones" }, read: { consistency: "linearizable", min_index: 0 }, key: null };
}

function readNode(node: string): Wish {
  return {
    action: { type: "read_node", node },
    read: { consistency: "linearizable", min_index: 0 },
    key: null,
  };
}
