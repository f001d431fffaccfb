import { setTimeout as sleep } from "node:timers/promises";

import { leaderOf, type AgentProcess } from "#test/support/agents.ts";

import type { Wish } from "./attempt.ts";
import { HOME, type Clients } from "./clients.ts";
import type { Action, Call } from "./history.ts";

/** Reads of each kind asked of an agent just before it wakes up. */
const PROBES = 4;
/** Until they are in its sockets. Milliseconds. */
const PROBES_MS = 100;
/** Longer than an agent waits for another (2 s): what a stopped one had under way is sent again when it wakes up. */
const STOPPED_MS_MIN = 2500;
/** Writes under way at the moment of a fault, beside those of the clients. */
const CONTESTED = 8;
/** How long clients wait for a leader that nobody follows. Milliseconds: shorter than it takes to step down. */
const IMPATIENT_MS = 400;
/** Writes that clients give up, or are told of, at a leader that nobody follows. */
const ALONE_WRITES = 12;
/** Acknowledged writes between two changes of leader on purpose. */
const HAND_OVER_WRITES = 5;

/** Writes that meet. `over` begins no more of them, and resolves with the last answer. */
interface Contest {
  over(): Promise<void>;
}

/** What a test does to the agents while clients go on. */
export class Trial {
  readonly #agents: readonly AgentProcess[];
  readonly #clients: Clients;
  readonly #nodes: readonly [string, string, ...string[]];
  #contests = 0;

  constructor(
    agents: readonly AgentProcess[],
    clients: Clients,
    nodes: readonly [string, string, ...string[]],
  ) {
    this.#agents = agents;
    this.#clients = clients;
    this.#nodes = nodes;
  }

  /** Waits for that many more acknowledged writes. */
  async progress(writes: number): Promise<void> {
    const goal = this.#clients.acknowledged + writes;
    await this.#until(`${writes} more writes are acknowledged`, () => this.#clients.acknowledged >= goal);
  }

  /** The one whom all name that run: a view may be old. */
  async leader(): Promise<AgentProcess> {
    let named: AgentProcess[] = [];
    await this.#up().until("all name the same leader", async () => {
      named = await Promise.all(this.#present().map((agent) => leaderOf(this.#agents, agent)));
      return new Set(named).size === 1;
    });
    return named[0] as AgentProcess;
  }

  async follower(): Promise<AgentProcess> {
    const leader = await this.leader();
    return this.#agents.find((agent) => agent !== leader) as AgentProcess;
  }

  /** Kill -9 with writes under way; writes go on without it; then it comes back. */
  async kill(agent: AgentProcess, writes: number): Promise<void> {
    const contest = await this.#contest();
    this.#clients.away(agent);
    await agent.stop("SIGKILL");
    const answered = contest.over();
    await this.progress(writes);
    await this.#restart(agent);
    await answered;
  }

  /**
   * Stops them with writes under way while others write on. The first that they do when they wake up is to answer reads: an old
   * leader knows least in that moment, and a follower knows least of what became of its writes.
   */
  async stop(agents: readonly AgentProcess[], writes: number): Promise<void> {
    const contest = await this.#contest();
    await this.#asleep(agents, contest, () => this.progress(writes));
  }

  /**
   * The leader is stopped; the others die, come back and elect another. Nothing that it finds in its sockets when it wakes up
   * tells it so: it leads on, as far as it knows, until it has met the others anew. Nothing is under way when it is stopped:
   * in the middle of a write to its disk it would find, when it wakes up, that its disk is too slow for a leader.
   */
  async depose(leader: AgentProcess, writes: number): Promise<void> {
    for (const agent of this.#agents) this.#clients.away(agent);
    await leader.until("nothing is under way", () => Promise.resolve(this.#clients.underWay === 0));
    await this.#asleep([leader], null, async () => {
      const others = this.#agents.filter((agent) => agent !== leader);
      await Promise.all(others.map((agent) => agent.stop("SIGKILL")));
      await Promise.all(others.map((agent) => this.#restart(agent)));
      await this.progress(writes);
    });
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

  /** Leadership goes from hand to hand: writes under way are sent again to the next leader, though the last one took them. */
  async handOver(times: number): Promise<void> {
    const contest = await this.#contest();
    for (let time = 0; time < times; time += 1) {
      const heir = await this.follower();
      await heir.post("/muster/v1/leader", { to: heir.name });
      await this.progress(HAND_OVER_WRITES);
    }
    await contest.over();
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

  async #asleep(
    agents: readonly AgentProcess[],
    contest: Contest | null,
    meanwhile: () => Promise<void>,
  ): Promise<void> {
    for (const agent of agents) {
      agent.signal("SIGSTOP");
      this.#clients.away(agent);
    }
    const written = contest?.over();
    const longEnough = sleep(STOPPED_MS_MIN);
    const asked: Promise<unknown>[] = [];
    try {
      await meanwhile();
      await longEnough;
      for (const agent of agents) asked.push(...this.#probes(agent));
      await sleep(PROBES_MS);
    } finally {
      for (const agent of agents) agent.signal("SIGCONT");
    }
    for (const agent of agents) this.#clients.back(agent);
    await Promise.all([written, ...asked]);
  }

  async #restart(agent: AgentProcess): Promise<void> {
    this.#clients.reborn(agent);
    await agent.start();
    this.#clients.back(agent);
  }

  /**
   * Many register and unregister the same node at once, at all agents and without keys. One that took effect twice would show:
   * between two registrations there is always an unregistration. Resolves once they are at it; they go on until it is over.
   */
  async #contest(): Promise<Contest> {
    const present = this.#present();
    this.#contests += 1;
    const contest = this.#contests;
    const ending = new AbortController();
    let ended = 0;
    const { promise: atIt, resolve: go } = Promise.withResolvers<void>();
    const one = async (place: number): Promise<void> => {
      const agent = present[place % present.length] as AgentProcess;
      for (let turn = place; !ending.signal.aborted; turn += 1) {
        await this.#clients.ask(agent, this.#contested(turn, `contest-${contest}-${turn}-${place}`));
        ended += 1;
        if (ended === CONTESTED) go();
      }
    };
    const asked = Promise.all(Array.from({ length: CONTESTED }, (_, place) => one(place)));
    await atIt;
    return {
      over: async () => {
        ending.abort();
        await asked;
      },
    };
  }

  #contested(turn: number, uri: string): Wish {
    const [, node] = this.#nodes;
    const action: Action =
      turn % 2 === 0 ? { type: "register_node", node, zone: HOME, uri } : { type: "unregister_node", node };
    return { action, read: null, key: null };
  }

  /** Not earlier than it wakes up: it would spend that moment on whoever has gone away meanwhile. */
  #probes(agent: AgentProcess): Promise<Call>[] {
    const known: Wish = {
      ...readNode(this.#nodes[0]),
      read: { consistency: "default", min_index: this.#clients.newestIndex },
    };
    return Array.from({ length: PROBES }, () => [readZones(), known])
      .flat()
      .map((wish) => this.#clients.ask(agent, wish));
  }

  #until(what: string, holds: () => boolean): Promise<void> {
    return this.#up().until(what, () => Promise.resolve(holds()));
  }

  #present(): AgentProcess[] {
    return this.#agents.filter((agent) => !this.#clients.isAway(agent));
  }

  #up(): AgentProcess {
    return this.#present()[0] as AgentProcess;
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
