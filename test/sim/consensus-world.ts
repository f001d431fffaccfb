import type { Message, VoterConfig } from "#shared/consensus/messages.ts";
import { Prng } from "#shared/lib/prng.ts";

import { SimDisk } from "./consensus-disk.ts";
import { CALM, type Faults, drawFaults } from "./consensus-faults.ts";
import { type NodeWorld, SimNode } from "./consensus-node.ts";
import { ConsensusOracle, demand } from "./consensus-oracle.ts";

/** How long faults rage and how long the healed cluster may take to recover, in units; a tick is about five. */
const CHAOS_UNITS = 3500;
const RECOVERY_UNITS = 4000;

/**
 * A cluster of 3–7 members in one process, driven by a seed: the same seed gives the same run, to the last message.
 */
export class ConsensusWorld implements NodeWorld {
  readonly prng: Prng;
  readonly oracle: ConsensusOracle;
  readonly first: VoterConfig;
  /** How often things happened, to see that the simulation reaches what it should. */
  readonly counts: Map<string, number>;
  readonly #nodes: SimNode[];
  readonly appendBytesMax: number;
  readonly #blocked = new Set<string>();
  readonly #events: (() => void)[][] = [];
  #faults: Faults;
  #now = 0;
  #commands = 0;

  constructor(seed: number, counts: Map<string, number>) {
    this.prng = new Prng(seed);
    this.counts = counts;
    this.#faults = drawFaults(this.prng);
    this.appendBytesMax = this.prng.pick([1, 200, 1_000_000]);
    const ids = Array.from({ length: this.prng.pick([3, 3, 4, 5, 5, 6, 7]) }, (_, i) => `n${i + 1}`);
    const voters = ids.slice(0, this.prng.pick([1, 3, Math.min(5, ids.length)]));
    this.first = {
      voters,
      outgoing: [],
      learners: ids.slice(voters.length, voters.length + this.prng.below(2)),
    };
    const machine = { index: 1, chain: 7 };
    this.oracle = new ConsensusOracle(machine);
    const snapshot = { meta: { index: 1, term: 1, config: this.first }, machine };
    this.#nodes = ids.map((id) => {
      const founder = voters.includes(id);
      const hardState = founder ? { term: 1, vote: null, commit: 1 } : { term: 0, vote: null, commit: 0 };
      return new SimNode(
        id,
        new SimDisk({ hardState, entries: [], snapshot: founder ? snapshot : null }),
        this,
      );
    });
  }

  /** Lets faults rage, heals everything, and demands that the cluster works again and has lost nothing. */
  run(): void {
    for (const node of this.#nodes) node.start();
    this.#nemesis();
    this.#clients();
    this.#advance(CHAOS_UNITS, () => false);
    this.#heal();
    this.#recover();
    this.oracle.acknowledgedAreKept();
  }

  // ---- the world as a node sees it

  after(delay: number, run: () => void): void {
    const due = this.#now + Math.max(1, delay);
    (this.#events[due] ??= []).push(run);
  }

  disk(id: string): SimDisk["durable"] {
    return this.#node(id).disk.durable;
  }

  now(): number {
    return this.#now;
  }

  saveDelay(): number {
    return this.prng.chance(this.#faults.slowDisk) ? this.prng.between(1, 30) : this.prng.below(3);
  }

  crashChance(): number {
    return this.#faults.crashAtStep;
  }

  tickDelay(): number {
    return this.prng.between(...this.#faults.tick);
  }

  timeoutJitter(): number {
    return this.prng.next() * this.#faults.jitter;
  }

  crashed(node: SimNode): void {
    this.after(this.prng.between(1, this.#faults.downMax), () => {
      if (node.core === null) node.start();
    });
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  send(message: Message): void {
    this.#carry(message.from, message.to, () => {
      const to = this.#node(message.to);
      to.receive(message);
      if (message.type === "snapshot" && (to.core?.status().commit ?? 0) < message.meta.index) {
        this.#fetchSnapshot(to, this.#node(message.from));
      }
    });
  }

  // ---- network

  #carry(from: string, to: string, deliver: () => void): void {
    const { loss, duplication, delayMax, straggle } = this.#faults;
    if (this.#blocked.has(`${from}>${to}`) || this.prng.chance(loss)) return;
    const copies = this.prng.chance(duplication) ? 2 : 1;
    for (let i = 0; i < copies; i += 1) {
      const delay = this.prng.between(1, delayMax) + (this.prng.chance(straggle) ? this.prng.below(400) : 0);
      this.after(delay, deliver);
    }
  }

  #node(id: string): SimNode {
    const node = this.#nodes.find((candidate) => candidate.id === id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  /** The body of a snapshot travels beside the messages, as the contract says. */
  #fetchSnapshot(to: SimNode, from: SimNode): void {
    this.#carry(to.id, from.id, () => {
      const snapshot = from.core === null ? null : from.disk.durable.snapshot;
      if (snapshot === null) return;
      this.#carry(from.id, to.id, () => to.install(snapshot.meta, snapshot.machine));
    });
  }

  /** Asks a peer for committed entries, as agents that nobody replicates to do. */
  #pull(to: SimNode): void {
    const from = this.prng.pick(this.#nodes);
    const status = to.core?.status();
    if (status === undefined || from === to) return;
    const known = status.commit;
    // Mostly what the contract asks for; now and then too early, or where nothing proves that the logs agree.
    const want = this.prng.pick([
      known + 1,
      known + 1,
      known + 1,
      Math.max(1, known - 2),
      status.lastIndex + 1,
    ]);
    this.#carry(to.id, from.id, () => {
      if (from.core === null) return;
      const { commit } = from.core.status();
      const entries = from.core.committedFrom(want, this.#faults.pullBytes);
      if (entries === null) this.#fetchSnapshot(to, from);
      else this.#carry(from.id, to.id, () => to.feed(entries, commit));
    });
  }

  // ---- what happens to the cluster

  #every(mean: () => number, act: () => void): void {
    const pause = mean();
    const next = Number.isFinite(pause) ? this.prng.between(1, 2 * pause) : 500;
    this.after(next, () => {
      if (Number.isFinite(mean())) act();
      this.#every(mean, act);
    });
  }

  #nemesis(): void {
    this.#every(
      () => this.#faults.betweenPartitions,
      () => this.#partition(),
    );
    this.#every(
      () => this.#faults.betweenCrashes,
      () => this.#victim().crash(),
    );
    this.#every(
      () => this.#faults.betweenFreezes,
      () => this.#victim().freeze(this.#now + this.prng.between(10, 150)),
    );
    this.#every(
      () => this.#faults.betweenConfigChanges,
      () => this.#changeConfig(),
    );
    this.#every(
      () => this.#faults.betweenTransfers,
      () => this.#transfer(),
    );
    this.#every(
      () => this.#faults.betweenCompactions,
      () => this.prng.pick(this.#nodes).compact(this.prng.below(9)),
    );
    for (const node of this.#nodes)
      this.#every(
        () => this.#faults.betweenPulls,
        () => this.#pull(node),
      );
  }

  /** Whom misfortune hits: often a leader, for most is at stake there. */
  #victim(): SimNode {
    const leaders = this.#nodes.filter(({ core }) => core?.status().role === "leader");
    return this.prng.pick(leaders.length > 0 && this.prng.chance(0.5) ? leaders : this.#nodes);
  }

  /** Cuts links one way or both ways, or heals. */
  #partition(): void {
    this.#blocked.clear();
    const kind = this.prng.below(4);
    if (kind === 0) return;
    const victim = this.#victim();
    const { voters = [], outgoing = [] } = victim.core?.status().config ?? {};
    // Along a change that is under way, or somewhere.
    const cut = new Set(
      outgoing.length > 0 && this.prng.chance(0.5)
        ? this.#nodes.filter(({ id }) => voters.includes(id))
        : [victim, ...this.prng.shuffle(this.#nodes).slice(0, this.prng.below(3))],
    );
    for (const a of this.#nodes) {
      for (const b of this.#nodes) {
        const apart = cut.has(a) !== cut.has(b);
        const blocked = kind === 1 ? apart : kind === 2 ? cut.has(a) && apart : this.prng.chance(0.3);
        if (blocked) this.#blocked.add(`${a.id}>${b.id}`);
      }
    }
    this.count("partitions");
  }

  #changeConfig(): void {
    const ids = this.prng.shuffle(this.#nodes.map(({ id }) => id));
    const voters = ids.slice(0, this.prng.between(1, Math.min(5, ids.length)));
    const learners = ids.slice(voters.length, voters.length + this.prng.below(3));
    // Half of the changes touch one voter only, the other half may be anything.
    const small = this.prng.chance(0.5);
    for (const node of this.#nodes) {
      node.changeConfig((current) => (small ? oneVoterChanged(current, ids[0] ?? "") : { voters, learners }));
    }
  }

  #transfer(): void {
    const to = this.prng.pick(this.#nodes).id;
    for (const node of this.#nodes) node.transferTo(to);
  }

  #clients(): void {
    this.#every(
      () => 15,
      () => {
        for (const node of this.prng.shuffle(this.#nodes)) {
          if (node.core?.status().role === "leader") this.#write(node);
        }
      },
    );
    this.#every(
      () => 20,
      () => {
        for (const node of this.#nodes) node.read(`r${(this.#commands += 1)}`);
      },
    );
  }

  #write(node: SimNode): void {
    node.propose(Array.from({ length: this.prng.between(1, 4) }, () => `c${(this.#commands += 1)}`));
  }

  // ---- time

  #advance(units: number, done: () => boolean): void {
    for (const end = this.#now + units; this.#now < end && !done();) {
      this.#now += 1;
      for (const run of this.#events[this.#now] ?? []) run();
      this.#events[this.#now] = [];
    }
  }

  #heal(): void {
    this.#faults = CALM;
    this.#blocked.clear();
    for (const node of this.#nodes) if (node.core === null) node.start();
  }

  /** Liveness: a leader is elected, a write of it commits, a change under way ends, and everybody catches up. */
  #recover(): void {
    const before = this.oracle.lastApplied;
    const caughtUp = (): boolean => {
      return (
        this.oracle.lastAcknowledged > before &&
        this.#nodes.every(({ machine, core }) => {
          return machine.index >= before && core?.status().config.outgoing.length === 0;
        })
      );
    };
    this.#advance(RECOVERY_UNITS, () => this.#now % 10 === 0 && caughtUp());
    const view = this.#nodes.map(({ id, core }) => {
      const { role, term, commit, lastIndex, config } = core?.status() ?? {};
      return `${id} ${role} term ${term} commit ${commit} last ${lastIndex} ${JSON.stringify(config)}`;
    });
    demand(caughtUp(), `the healed cluster does not come back:\n${view.join("\n")}`);
  }
}

function oneVoterChanged(
  config: VoterConfig,
  member: string,
): { voters: string[]; learners: readonly string[] } {
  const without = config.voters.filter((voter) => voter !== member);
  const voters = without.length === config.voters.length ? [...config.voters, member] : without;
  return { voters, learners: config.learners.filter((learner) => learner !== member) };
}
