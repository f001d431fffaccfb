import { Prng } from "#shared/lib/prng.ts";

import { attempt, type Asked, type Wish } from "./attempt.ts";
import type { Call, History } from "./history.ts";
import { draw } from "./workload.ts";

/** Attempts at a write with an Idempotency-Key. */
const ATTEMPTS_MAX = 4;
/** Share of the writes with a key whose first answer the client does not hear. */
const UNHEARD = 0.2;
/** Most a client thinks between two calls. Milliseconds. */
const THINK_MS_MAX = 15;
/** Zones that clients play with: the newest few, so that they meet. */
const ZONES_IN_PLAY = 4;
/** Id of the first zone. Nobody deletes it. */
export const HOME = 1;

interface Options {
  readonly scenario: string;
  readonly seed: number;
  /** Uuids of detected nodes. */
  readonly nodes: readonly [string, ...string[]];
}

/** Clients that talk to real agents over HTTP, and the record of all they saw. */
export class Clients {
  readonly #agents: readonly Asked[];
  readonly #options: Options;
  readonly #startMs = performance.now();
  readonly #calls: Call[] = [];
  readonly #lives = new Map<string, number>();
  readonly #away = new Set<string>();
  readonly #running: Promise<void>[] = [];
  #stopped = false;
  #zones: readonly number[] = [];
  #acknowledged = 0;
  #underWay = 0;
  #writesTried = 0;
  #newestIndex = 0;
  /** How long clients wait for an answer from now on. Milliseconds; null: as long as is usual. */
  patienceMs: number | null = null;

  constructor(agents: readonly Asked[], options: Options) {
    this.#agents = agents;
    this.#options = options;
  }

  /** Makes the first zone, the first one to play with and the first node's record, then starts that many clients; they go on until `stop`. */
  async start(clients: number): Promise<void> {
    const [first] = this.#agents as [Asked];
    const [node] = this.#options.nodes;
    await this.ask(first, { action: { type: "create_zone", name: "home" }, read: null, key: "home" });
    await this.ask(first, { action: { type: "create_zone", name: "first" }, read: null, key: "zone" });
    await this.ask(first, {
      action: { type: "register_node", node, zone: HOME, uri: "first" },
      read: null,
      key: "first",
    });
    for (let client = 1; client <= clients; client += 1) this.#running.push(this.#client(client));
  }

  /** Resolves when no client has a call under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  /** Writes acknowledged so far. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Attempts that wait for their answer. */
  get underWay(): number {
    return this.#underWay;
  }

  /** Attempts at a write that have ended so far, however they did. */
  get writesTried(): number {
    return this.#writesTried;
  }

  /** Newest index that anybody was shown. */
  get newestIndex(): number {
    return this.#newestIndex;
  }

  get history(): History {
    const { scenario, seed } = this.#options;
    return { scenario, seed, calls: this.#calls };
  }

  /** Clients leave this agent alone, as a load balancer would; what they have asked it already goes on. */
  away({ name }: Asked): void {
    this.#away.add(name);
  }

  isAway({ name }: Asked): boolean {
    return this.#away.has(name);
  }

  back({ name }: Asked): void {
    this.#away.delete(name);
  }

  /** The process is about to be started anew: to go on where it was is promised for one life only. */
  reborn({ name }: Asked): void {
    this.#lives.set(name, this.#lifeOf(name) + 1);
  }

  /** Asks this very agent once, even one that is away. */
  async ask(agent: Asked, wish: Wish): Promise<Call> {
    const [asked, life] = [performance.now(), this.#lifeOf(agent.name)];
    return this.#record(0, wish, asked, { name: agent.name, life }, await this.#attempt(agent, wish));
  }

  async #client(client: number): Promise<void> {
    const { seed, nodes } = this.#options;
    const prng = new Prng(seed * 1000 + client);
    let index = 0;
    for (let count = 1; !this.#stopped; count += 1) {
      const wish = draw(prng, { client, count, index, zones: this.#zones, nodes });
      const { outcome } = await this.#perform(prng, client, wish);
      if (outcome.type === "answered") index = Math.max(index, outcome.index ?? 0);
      const thinkMs = prng.below(THINK_MS_MAX);
      await new Promise((resolve) => setTimeout(resolve, thinkMs));
    }
  }

  /** One wish, tried again under its key while its outcome is unknown: one operation from the first call to the last answer. */
  async #perform(prng: Prng, client: number, wish: Wish): Promise<Call> {
    const asked = performance.now();
    // As if the answer had been lost on its way: the write must not take effect again, and must be answered alike.
    let unheard = wish.key !== null && prng.chance(UNHEARD);
    let unknown = false;
    for (let attempts = 1; ; attempts += 1) {
      const agent = prng.pick(await this.#present());
      const life = this.#lifeOf(agent.name);
      const outcome = await this.#attempt(agent, wish);
      unknown ||= outcome.type === "unknown" || unheard;
      const again = wish.key !== null && attempts < ATTEMPTS_MAX && !this.#stopped;
      if (unknown && again && (outcome.type !== "answered" || unheard)) {
        unheard = false;
        continue;
      }
      // A refusal is certain about its own attempt only.
      const told = unknown && outcome.type === "refused" ? { ...outcome, type: "unknown" as const } : outcome;
      return this.#record(client, wish, asked, { name: agent.name, life }, told);
    }
  }

  async #attempt(agent: Asked, wish: Wish): Promise<Call["outcome"]> {
    this.#underWay += 1;
    const outcome = await attempt(agent, wish, this.patienceMs);
    this.#underWay -= 1;
    if (wish.read === null) this.#writesTried += 1;
    if (outcome.type === "answered") this.#newestIndex = Math.max(this.#newestIndex, outcome.index ?? 0);
    return outcome;
  }

  /** The agents that clients may ask, once there are any; all when nobody waits for that any more. */
  async #present(): Promise<readonly Asked[]> {
    for (;;) {
      const present = this.#agents.filter(({ name }) => !this.#away.has(name));
      if (present.length > 0) return present;
      if (this.#stopped) return this.#agents;
      await new Promise((resolve) => setTimeout(resolve, THINK_MS_MAX));
    }
  }

  #record(
    client: number,
    { action, read }: Wish,
    askedMs: number,
    agent: { readonly name: string; readonly life: number },
    outcome: Call["outcome"],
  ): Call {
    const times = { invoked_ms: askedMs - this.#startMs, ended_ms: performance.now() - this.#startMs };
    const record: Call = { client, agent: agent.name, life: agent.life, action, read, ...times, outcome };
    this.#calls.push(record);
    if (outcome.type === "answered") {
      const { result } = outcome;
      if (read === null && result.type !== "error") this.#acknowledged += 1;
      if (result.type === "id" && result.id !== HOME)
        this.#zones = [...this.#zones, result.id].slice(-ZONES_IN_PLAY);
    }
    return record;
  }

  #lifeOf(name: string): number {
    return this.#lives.get(name) ?? 1;
  }
}
