import { RaftCore } from "#shared/consensus/core.ts";
import type { Entry, Message, SnapshotMeta, VoterConfig } from "#shared/consensus/messages.ts";
import type { Consensus, Ready } from "#shared/consensus/ready.ts";
import type { Prng } from "#shared/lib/prng.ts";

import {
  type Machine,
  type SimDisk,
  appendWrite,
  compactWrite,
  resetWrite,
  snapshotWrite,
} from "./consensus-disk.ts";
import { type ConsensusOracle, demand } from "./consensus-oracle.ts";

/** How long an election timeout is at least, in ticks; heartbeats come with every tick. */
const ELECTION_TICKS = 6;
const HEARTBEAT_TICKS = 1;

/** What a node needs from the world around it. */
export interface NodeWorld {
  readonly prng: Prng;
  readonly oracle: ConsensusOracle;
  readonly first: VoterConfig;
  /** About how many bytes one append carries. */
  readonly appendBytesMax: number;
  now(): number;
  /** Units until the next tick. */
  tickDelay(): number;
  /** The random part of an election timeout, in [0, 1). */
  timeoutJitter(): number;
  /** How slow the disk is at this moment, in units of time. */
  saveDelay(): number;
  /** Probability of a crash at each step of handling a Ready. */
  crashChance(): number;
  after(delay: number, run: () => void): void;
  send(message: Message): void;
  crashed(node: SimNode): void;
  disk(id: string): SimDisk["durable"];
  count(what: string): void;
}

interface ConfigTarget {
  readonly voters: readonly string[];
  readonly learners: readonly string[];
}

interface Begun {
  readonly ready: Ready;
  readonly core: Consensus;
  readonly start: number;
}

/**
 * One member: the real core, a disk that forgets, and a driver that follows the order `Ready` prescribes, with room for a
 * crash and for other events between any two of its steps.
 */
export class SimNode {
  readonly id: string;
  readonly disk: SimDisk;
  /** Null while it is down. */
  core: Consensus | null = null;
  machine: Machine = { index: 0, chain: 0 };
  /** How often it has started. */
  starts = 0;
  readonly #world: NodeWorld;
  #busy = false;
  #frozenUntil = 0;
  #commit = 0;
  #term = 0;
  /** Bodies of fetched snapshots that wait to be installed. */
  readonly #bodies = new Map<SnapshotMeta, Machine>();
  readonly #proposed = new Map<number, number>();
  readonly #reads = new Map<string, number>();

  constructor(id: string, disk: SimDisk, world: NodeWorld) {
    this.id = id;
    this.disk = disk;
    this.#world = world;
  }

  start(): void {
    const { machine, ...start } = this.disk.load();
    this.machine = machine;
    this.starts += 1;
    this.#busy = false;
    this.#commit = 0;
    this.#term = 0;
    const options = {
      id: this.id,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: HEARTBEAT_TICKS,
      random: () => this.#world.timeoutJitter(),
      appendBytesMax: this.#world.appendBytesMax,
    };
    this.core = new RaftCore(options, start);
    this.#tickLater(this.starts);
    this.wake();
  }

  crash(): void {
    if (this.core === null) return;
    this.core = null;
    this.#frozenUntil = 0;
    this.#bodies.clear();
    this.#proposed.clear();
    this.#reads.clear();
    this.disk.crash(this.#world.prng);
    this.#world.count("crashes");
    this.#world.crashed(this);
  }

  /** Its clock runs at its own pace. */
  #tickLater(start: number): void {
    this.#whenAwake(this.#world.tickDelay(), start, () => {
      this.#tick();
      this.wake();
      this.#tickLater(start);
    });
  }

  /** A driver does not wake up for a tick of which the core says that it brings nothing: then it must not. */
  #tick(): void {
    const { core } = this;
    if (core === null) return;
    const rests = core.restTicks() > 0 && !core.hasReady();
    const before = rests ? JSON.stringify(core.status()) : "";
    core.tick();
    if (rests && (core.hasReady() || JSON.stringify(core.status()) !== before)) {
      throw new Error(`${this.id}: a tick brought something, and the core had said that it would not`);
    }
  }

  /** Stops its process for a while, as a long pause or SIGSTOP does: it wakes up without knowing that time has passed. */
  freeze(until: number): void {
    this.#frozenUntil = until;
    this.#world.count("freezes");
  }

  /** Runs something later, and not while frozen, unless this start of the process has ended by then. */
  #whenAwake(delay: number, start: number, run: () => void): void {
    this.#world.after(delay, () => {
      if (this.core === null || this.starts !== start) return;
      const rest = this.#frozenUntil - this.#world.now();
      if (rest > 0) this.#whenAwake(rest + this.#world.prng.below(5), start, run);
      else run();
    });
  }

  /** Hands an event from outside to the running core, as soon as it is awake. Nothing happens while it is down. */
  #arrives(act: (core: Consensus) => void): void {
    const { core } = this;
    if (core === null) return;
    if (this.#frozenUntil > this.#world.now()) {
      this.#whenAwake(1, this.starts, () => this.#arrives(act));
      return;
    }
    act(core);
    this.wake();
  }

  receive(message: Message): void {
    this.#arrives((core) => core.step(message));
  }

  propose(texts: readonly string[]): void {
    this.#arrives((core) => {
      const result = core.propose(texts);
      if (result.ok) texts.forEach((_, i) => this.#proposed.set(result.index + i, result.term));
    });
  }

  read(context: string): void {
    this.#arrives((core) => {
      const visible = this.#world.oracle.lastApplied;
      if (core.readIndex(context)) this.#reads.set(context, visible);
    });
  }

  changeConfig(target: (current: VoterConfig) => ConfigTarget): void {
    this.#arrives((core) => {
      if (core.changeConfig(target(core.status().config)).ok) this.#world.count("configuration changes");
    });
  }

  transferTo(member: string): void {
    this.#arrives((core) => {
      if (core.transferTo(member)) this.#world.count("transfers");
    });
  }

  feed(entries: readonly Entry[], commit: number): void {
    this.#arrives((core) => {
      if (core.feed(entries, commit) === "taken") this.#world.count("feeds taken");
      this.#watch(core, true);
    });
  }

  install(meta: SnapshotMeta, machine: Machine): void {
    this.#arrives((core) => {
      if (core.installSnapshot(meta)) {
        this.#bodies.set(meta, machine);
        this.#world.count("snapshots installed");
      }
      this.#watch(core, true);
    });
  }

  /** Takes a snapshot of what is applied and forgets most of the log. */
  compact(tail: number): void {
    const { core, machine } = this;
    if (core === null || machine.index !== core.status().applied) return;
    const term = core.termAt(machine.index);
    const config = core.appliedConfig();
    const taken = this.disk.durable.snapshot?.meta.index ?? 0;
    if (term === null || machine.index <= taken || config.voters.length === 0) return;
    this.#world.oracle.snapshot(this.id, machine, term, config, this.#world.first);
    const meta: SnapshotMeta = { index: machine.index, term, config };
    const upTo = Math.max(0, machine.index - tail);
    this.disk.write(snapshotWrite(meta, machine), true);
    core.compact(meta, upTo);
    this.disk.write(compactWrite(upTo), false);
    this.#world.count("snapshots taken");
  }

  /** Begins to handle a Ready if there is one and none is under way. */
  wake(): void {
    const { core } = this;
    if (core === null) return;
    this.#watch(core, false);
    if (this.#busy || !core.hasReady()) return;
    this.#busy = true;
    const ready = core.ready();
    for (const message of ready.sendNow) this.#send(message);
    const begun = { ready, core, start: this.starts };
    if (this.#crashes(() => this.#save(ready))) return;
    this.#later(begun, this.#world.saveDelay(), () => this.#saved(begun));
  }

  #later({ start }: Begun, delay: number, run: () => void): void {
    if (delay === 0) run();
    else this.#whenAwake(delay, start, run);
  }

  /** Perhaps crashes here; what was under way may have reached the disk or not. */
  #crashes(underWay: (() => void) | null): boolean {
    const { prng } = this.#world;
    if (!prng.chance(this.#world.crashChance())) return false;
    if (underWay !== null && prng.chance(0.5)) underWay();
    this.crash();
    return true;
  }

  #save(ready: Ready): void {
    const { snapshot, hardState, truncateFrom, entries, mustSync } = ready;
    if (snapshot !== null) {
      const machine = this.#bodies.get(snapshot);
      demand(
        machine !== undefined && hardState !== null,
        "a snapshot to install was fetched, with a hard state",
      );
      if (machine === undefined || hardState === null) return;
      this.machine = machine;
      this.#bodies.delete(snapshot);
      this.disk.write(snapshotWrite(snapshot, machine), true);
      if (this.#crashes(null)) return;
      this.disk.write(resetWrite(hardState), true);
    }
    demand(mustSync || (entries.length === 0 && truncateFrom === null), "entries are always synced");
    if (entries.length > 0 || truncateFrom !== null || hardState !== null) {
      this.disk.write(appendWrite(ready), mustSync);
    }
  }

  #saved(begun: Begun): void {
    const { ready, core } = begun;
    this.#save(ready);
    if (this.core === null) return;
    const before = (ready.entries[0]?.index ?? 0) - 1;
    this.#world.oracle.wrote(this.id, ready.entries, this.#termOnDisk(before));
    if (this.#crashes(null)) return;
    for (const message of ready.sendAfter) this.#send(message);
    if (this.#crashes(null)) return;
    this.#later(begun, this.#world.prng.below(3), () => this.#apply(ready, core));
  }

  #termOnDisk(index: number): number | null {
    const { entries, snapshot } = this.disk.durable;
    if (index === snapshot?.meta.index) return snapshot.meta.term;
    return entries.find((entry) => entry.index === index)?.term ?? null;
  }

  #apply(ready: Ready, core: Consensus): void {
    const { oracle } = this.#world;
    const { term } = core.status();
    for (const entry of ready.committed) {
      this.machine = oracle.applied(this.id, this.machine, entry, term);
      if (this.#proposed.get(entry.index) === entry.term) {
        oracle.acknowledged(entry);
        this.#world.count("writes acknowledged");
      }
      this.#proposed.delete(entry.index);
    }
    for (const { context, index } of ready.reads) {
      const visible = this.#reads.get(context);
      demand(visible !== undefined, `nobody asked for read ${context}`);
      this.#reads.delete(context);
      if (index === null) continue;
      oracle.read(this.id, index, visible ?? 0);
      this.#world.count("reads answered");
    }
    core.advance(ready);
    this.#busy = false;
    this.wake();
  }

  #send(message: Message): void {
    this.#world.oracle.sends(message, this.disk.durable);
    if (message.type === "append" || message.type === "heartbeat" || message.type === "snapshot") {
      this.#world.oracle.leads(this.id, this.starts, message.term);
    }
    this.#world.count(message.type);
    this.#world.send(message);
  }

  /** Looks at the core from outside after each event. `told`: somebody else's commit index was just taken over. */
  #watch(core: Consensus, told: boolean): void {
    const { oracle } = this.#world;
    const { role, term, commit, lastIndex, applied, firstIndex, config } = core.status();
    demand(commit >= this.#commit, `${this.id} lowered its commit index from ${this.#commit} to ${commit}`);
    demand(term >= this.#term, `${this.id} lowered its term from ${this.#term} to ${term}`);
    demand(
      applied <= commit && commit <= lastIndex,
      `${this.id} has applied ${applied} of ${commit} of ${lastIndex}`,
    );
    const committed = commit > this.#commit;
    this.#commit = commit;
    this.#term = term;
    if (role !== "leader") return;
    if (config.outgoing.length > 0) this.#world.count("leader in a joint configuration");
    if (oracle.leads(this.id, this.starts, term)) {
      this.#world.count("leaders");
      oracle.leaderHolds(this.id, term, firstIndex, (index) => core.termAt(index));
      // A voter that is alone sends no request that could be counted.
      if (config.voters.length + config.outgoing.length > 1) oracle.elected(this.id, term, config);
    } else if (committed && !told) {
      demand(core.termAt(commit) === term, `${this.id} counts copies of an entry of an older term`);
      oracle.commits(this.id, { index: commit, term }, config, (id) => this.#world.disk(id));
    }
  }
}
