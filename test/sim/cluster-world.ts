import { Clients } from "./cluster-clients.ts";
import { drawFaults, type Faults } from "./cluster-faults.ts";
import type { HostWorld, SimHost } from "./cluster-host.ts";
import type { Boundary } from "./cluster-life.ts";
import { CALM_NET, SimNet } from "./cluster-net.ts";
import { Nemesis } from "./cluster-nemesis.ts";
import { ClusterOracle, demand } from "./cluster-oracle.ts";
import { Operator } from "./cluster-operator.ts";
import { Schedule } from "./cluster-schedule.ts";
import { Strangers } from "./cluster-strangers.ts";
import type { ClusterIdentity, Stores } from "#agent/ports/store.ts";
import type { ReplicaOptions } from "#agent/registry/options.ts";
import { RECOVERY_INDEX_GAP } from "#shared/lib/limits.ts";
import { Prng } from "#shared/lib/prng.ts";
import { encodeState } from "#shared/registry/snapshot.ts";

/** How long faults rage, and how long the healed cluster may take until all is well. Milliseconds. */
const CHAOS_MS = 16_000;
const RECOVERY_MS = 90_000;
/** How often a default read is looked at. Milliseconds. */
const GLANCE_MS = 250;
/** A host that was up this lately may be taken for a living one by whom it has not told otherwise. */
const LATELY_MS = 20_000;

/**
 * A cluster from its first host on, in one process: the agent's own parts on hosts whose network, disks and clocks a seed
 * decides on. The same seed gives the same run, to the last message.
 */
export class ClusterWorld implements HostWorld, Disposable {
  readonly schedule = new Schedule();
  readonly prng: Prng;
  readonly net: SimNet;
  readonly strangers: Strangers;
  readonly raft: Partial<ReplicaOptions>;
  readonly faults: Faults;
  readonly hosts: SimHost[] = [];
  readonly counts: Map<string, number>;
  readonly clients: Clients;
  readonly #oracles = new Map<string, ClusterOracle>();
  /** The recovered cluster that somebody has begun to live in; null in the first life. */
  #newest: ClusterIdentity | null = null;
  readonly #operator: Operator;
  readonly #nemesis: Nemesis;
  readonly #trace: (line: string) => void;
  #clusters = 0;
  #broken: unknown = null;
  #calm = false;

  constructor(
    seed: number,
    options: { readonly counts?: Map<string, number>; readonly trace?: (line: string) => void } = {},
  ) {
    this.prng = new Prng(seed);
    this.counts = options.counts ?? new Map();
    this.#trace = options.trace ?? ((): void => undefined);
    this.faults = drawFaults(this.prng);
    this.raft = {
      tickMs: 100,
      electionTicks: 12,
      heartbeatTicks: 4,
      submitMs: 3000,
      deadVoterMs: 4000,
      joiningMs: 12_000,
      snapshotEntries: this.faults.snapshotEntries,
      logTailEntries: 4,
    };
    this.net = new SimNet(this);
    this.net.weather = this.faults.net;
    if (options.trace !== undefined) {
      this.net.onArrival = (from, to, name, text) => this.note(`${from} > ${to} ${name} ${text}`);
    }
    this.strangers = new Strangers(this);
    this.clients = new Clients(this);
    this.#operator = new Operator(this);
    this.#nemesis = new Nemesis(this, this.faults);
  }

  [Symbol.dispose](): void {
    for (const host of this.hosts) host.life?.end();
    this.schedule[Symbol.dispose]();
  }

  /** Lets faults rage from before the first host has a cluster, heals all, and demands that all is well and nothing lost. */
  async run(): Promise<void> {
    this.net.start();
    this.#operator.start();
    this.#nemesis.start();
    this.#often(this.faults.between.writes, () => this.clients.write());
    this.#often(this.faults.between.reads, () => void this.clients.read());
    this.#often(GLANCE_MS, () => {
      for (const host of this.hosts) this.clients.glance(host);
    });
    await this.#pass(CHAOS_MS);
    this.#heal();
    let problem: string | null = "it was not looked at";
    let nextMs = 0;
    await this.#pass(RECOVERY_MS, () => {
      if (this.schedule.nowMs < nextMs) return false;
      nextMs = this.schedule.nowMs + GLANCE_MS;
      problem = this.#operator.whatIsWrong();
      return problem === null;
    });
    demand(problem === null, `the healed cluster does not come back: ${problem}`);
    await this.#writesEverywhere();
    this.oracle.settles();
    const texts = this.members().map(({ process }) => encodeState(process?.replica.state ?? demandState()));
    demand(new Set(texts).size === 1, `members hold different registries:\n${texts.join("\n")}`);
  }

  // ---- what hosts, clients and faults ask of the world

  /** Of the cluster that the hosts are in. */
  get oracle(): ClusterOracle {
    return this.#newest === null
      ? this.#oracleOf(`cluster-${this.#clusters}/1/`)
      : this.oracleOf(this.#newest);
  }

  oracleOf(identity: ClusterIdentity | null): ClusterOracle {
    if (identity !== null && identity.incarnation > (this.#newest?.incarnation ?? 1)) {
      this.note(`incarnation ${identity.incarnation} lives`);
      this.#newest = identity;
    }
    return this.#oracleOf(lifeOf(identity));
  }

  #oracleOf(life: string): ClusterOracle {
    const known = this.#oracles.get(life);
    if (known !== undefined) return known;
    const oracle = new ClusterOracle({ isUp: (peer) => this.#upLately(peer), note: this.note });
    this.#oracles.set(life, oracle);
    return oracle;
  }

  begun(operation: string): void {
    for (const oracle of this.#oracles.values()) oracle.begun(operation);
  }

  recovers(host: SimHost, { identity, meta }: Parameters<Stores["recover"]>[0]): void {
    const index = meta.index - RECOVERY_INDEX_GAP;
    const term = meta.term - 1;
    const { entries, snapshot } = host.disk.content;
    const own = entries.at(-1) ?? snapshot?.meta;
    const worse = own !== undefined && (own.term > term || (own.term === term && own.index > index));
    demand(
      !worse,
      `${host.peer} recovers from ${index} in term ${term}, and holds ${own?.index} in ${own?.term} itself`,
    );
    const holders = this.hosts.map(({ disk }) => disk.content.entries);
    const tail =
      holders.find((entries) => entries.some((one) => one.index === index && one.term === term)) ?? [];
    const { peer } = host;
    const self = { peer, uuid: host.uuid, name: host.name, uid: identity.uid };
    const { oracle, lost } = this.oracle.recovered({ index, term, tail }, self);
    if (lost > 0) this.count("recoveries that lost acknowledged writes");
    this.note(`${peer} recovers from ${index}; ${lost} acknowledged writes were on lost disks only`);
    this.#oracles.set(lifeOf(identity), oracle);
  }

  newClusterId(): string {
    this.#clusters += 1;
    return `cluster-${this.#clusters}`;
  }

  mayDie(host: SimHost, at: Boundary): boolean {
    if (this.#calm || !this.prng.chance(this.faults.dies[at])) return false;
    this.count(`dies at ${at}`);
    host.crash(this.#nemesis.powerCut());
    return true;
  }

  hostAt(address: string): SimHost | null {
    return this.hosts.find((host) => host.address === address) ?? null;
  }

  members(): readonly SimHost[] {
    return this.hosts.filter(
      ({ retired, process }) => !retired && process?.bootstrap.state.name === "completed",
    );
  }

  running(): readonly SimHost[] {
    return this.hosts.filter(({ retired, life }) => !retired && life !== null);
  }

  remove(): void {
    void this.#operator.remove();
  }

  readonly count = (what: string): void => {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  };

  readonly note = (line: string): void => {
    this.#trace(`${this.schedule.nowMs} ${line}`);
  };

  /** Something is not as it must be: the run ends here. */
  readonly defect = (error: unknown): void => {
    this.#broken ??= error;
  };

  // ----

  #upLately(peer: string): boolean {
    const host = this.hosts.find((one) => one.peer === peer);
    if (host === undefined) return false;
    return host.downSinceMs === null || this.schedule.nowMs - host.downSinceMs < LATELY_MS;
  }

  #often(meanMs: number, act: () => void): void {
    this.schedule.after(this.prng.between(1, 2 * meanMs), () => {
      if (!this.#calm) act();
      this.#often(meanMs, act);
    });
  }

  async #pass(ms: number, done: () => boolean = () => false): Promise<void> {
    await this.schedule.run(ms, () => this.#broken !== null || done());
    if (this.#broken !== null) throw this.#broken as Error;
  }

  #heal(): void {
    this.note("all heals");
    this.#calm = true;
    this.#nemesis.end();
    this.net.heal();
    this.net.weather = CALM_NET;
    for (const host of this.hosts) {
      host.life?.thaw();
      host.time.wallOffsetMs = 0;
    }
    this.#operator.heal();
  }

  async #writesEverywhere(): Promise<void> {
    let waiting = this.members();
    // A try may still meet what is left of the faults, like a disk that has not come back from its stall.
    for (let round = 1; round <= 4 && waiting.length > 0; round += 1) {
      const orders = waiting.map((host, i) => ({
        host,
        order: this.clients.order(host, { type: "zone.create", name: `healed ${round} ${i}` }),
      }));
      await this.#pass(5000, () => orders.every(({ order }) => order.done()));
      waiting = orders.filter(({ order }) => !order.done()).map(({ host }) => host);
    }
    demand(
      waiting.length === 0,
      `no writes through ${waiting.map(({ peer }) => peer).join()} though all is healed`,
    );
    const reached = this.oracle.lastApplied;
    const behind = (): readonly SimHost[] =>
      this.members().filter(({ process }) => (process?.replica.state.index ?? 0) < reached);
    await this.#pass(10_000, () => behind().length === 0);
    demand(
      behind().length === 0,
      `${behind()
        .map(({ peer }) => peer)
        .join()} do not catch up`,
    );
    // Whatever comes last must be everywhere when registries are compared.
    await this.#pass(3000, () => {
      const indexes = new Set(this.members().map(({ process }) => process?.replica.state.index));
      return indexes.size === 1;
    });
  }
}

/** Two recoveries made apart are two lives, though both count alike. */
function lifeOf(identity: ClusterIdentity | null): string {
  const { clusterId = "", incarnation = 1, lineage = "" } = identity ?? {};
  return `${clusterId}/${incarnation}/${lineage}`;
}

function demandState(): never {
  throw new Error("broken: a member without a registry");
}
