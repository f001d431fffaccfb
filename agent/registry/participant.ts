import { StateMachine } from "./apply.ts";
import { DiskSide } from "./disk-side.ts";
import type { LeaderDuties } from "./duties.ts";
import { Feed } from "./feed.ts";
import { Freshness } from "./freshness.ts";
import { Replacement } from "./replacement.ts";
import type { HandOver } from "./hand-over.ts";
import { SnapshotIntake } from "./intake.ts";
import { leaderSide } from "./leader-side.ts";
import { ConsensusLoop } from "./loop.ts";
import type { ReplicaOptions } from "./options.ts";
import { PullServer } from "./pulls.ts";
import { ReadBarriers } from "./reads.ts";
import { Snapshotter } from "./snapshotter.ts";
import { StateGuard } from "./state-guard.ts";
import { Standing } from "./standing.ts";
import type { Beginning } from "./start.ts";
import { Submitter } from "./submit.ts";
import { SnapshotServer, type Packing } from "./transfer.ts";
import type { VotingDesk } from "./voting.ts";
import { IndexWaiters } from "./waiters.ts";
import type { Watchers } from "./watch.ts";
import { decodeMessage } from "./message-wire.ts";
import type { Complaints } from "./wire.ts";
import type { Beat, Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { OwnHealth } from "#agent/ports/membership.ts";
import type { Registry, RegistryStatus, Submitted } from "#agent/ports/registry.ts";
import type { Stores } from "#agent/ports/store.ts";
import type { Transport, Wire } from "#agent/ports/transport.ts";
import type { Consensus, CoreOptions, CoreStart } from "#shared/consensus/ready.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Command } from "#shared/registry/command.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** Longest that nothing is looked at here while nobody waits. Milliseconds. */
const REST_MS_MAX = 1000;

/** What the replica is built on; the composition root gives it. */
export interface ReplicaDeps {
  readonly transport: Transport;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly log: Log;
  /** A number in [0, 1). */
  readonly random: () => number;
  readonly createCore: (options: CoreOptions, start: CoreStart) => Consensus;
  readonly membership: { isAlive(peer: MemberId): boolean; self(): OwnHealth };
  /** How many times this agent has started: numbers its sessions in the registry. */
  readonly session: number;
  /** How snapshots are packed; zstd when left out. */
  readonly packing?: Packing;
}

interface Shared {
  readonly watchers: Watchers;
  readonly complaints: Complaints;
  /** Numbers this agent's commands; it never starts anew while the agent runs, for its session does not either. */
  readonly nextSeq: () => number;
  /** Why this agent, leading, takes no new commands; null when it does. */
  readonly refusal: () => AppError | null;
  /** What callers are told when the disk had no room for a write. */
  readonly diskFull: () => AppError;
}

/** This agent's part in one cluster, from entering (or starting) to leaving (or stopping). Wires the driver's parts together. */
export class Participant {
  readonly #deps: ReplicaDeps & Shared;
  readonly #options: ReplicaOptions;
  readonly #complaints: Complaints;
  readonly #loop: ConsensusLoop;
  readonly #machine: StateMachine;
  readonly #waiters: IndexWaiters;
  readonly #freshness = new Freshness();
  readonly #feed: Feed;
  readonly #standing: Standing;
  readonly #submitter: Submitter;
  readonly #reads: ReadBarriers;
  readonly #pulls: PullServer;
  readonly #snapshotter: Snapshotter;
  readonly #snapshots: SnapshotServer;
  readonly #duties: LeaderDuties;
  readonly #handOver: HandOver;
  readonly #intake: SnapshotIntake;
  /** What an administrator may wish of the leader. */
  readonly voting: VotingDesk;
  readonly disk: DiskSide;
  readonly #guard: StateGuard;
  #beat: Beat | null = null;
  /** Why it has ended; its state is served on where nothing takes its place. */
  #stopped: AppError | null = null;

  constructor(deps: ReplicaDeps & Shared, beginning: Beginning, options: ReplicaOptions) {
    const { transport, stores, clock, log, membership, watchers, session } = deps;
    const { self } = transport;
    this.#deps = deps;
    this.#options = options;
    this.#complaints = deps.complaints;
    const { electionTicks, heartbeatTicks } = options;
    const core = deps.createCore(
      { id: self, electionTicks, heartbeatTicks, random: deps.random },
      beginning.core,
    );
    const isAlive = (peer: MemberId): boolean => membership.isAlive(peer);
    const waiters = new IndexWaiters({ clock });
    const machine = new StateMachine(
      {
        log,
        watchers,
        waiters,
        onAnswer: (seq, index, result) => this.#submitter.answered(seq, index, result),
        onApplied: (entry) => {
          this.#snapshotter.count(entry);
          this.#freshness.appliedTo(entry.index);
        },
      },
      { self, session },
    );
    machine.start(beginning.state);
    const loop = new ConsensusLoop(
      {
        core,
        machine,
        transport,
        clock,
        log,
        store: stores.log,
        install: (meta) => this.#intake.install(meta),
        onReads: (reads) => this.#reads.onReads(reads),
        onTurn: () => this.#onTurn(),
      },
      { hardState: beginning.core.hardState },
    );
    this.#waiters = waiters;
    this.#machine = machine;
    this.#loop = loop;
    this.#feed = new Feed(
      {
        loop,
        transport,
        clock,
        log,
        freshness: this.#freshness,
        applied: () => machine.index,
        fetchSnapshot: (from) => this.#intake.fetch(from),
      },
      options,
    );
    const standing = new Standing({
      loop,
      machine,
      clock,
      transport,
      isAlive,
      feed: this.#feed,
      freshness: this.#freshness,
    });
    this.#standing = standing;
    const towardsLeader = {
      loop,
      transport,
      clock,
      leadership: () => standing.leadership(),
      missing: () => standing.missing(),
    };
    this.#submitter = new Submitter(
      { ...towardsLeader, nextSeq: deps.nextSeq, refusal: deps.refusal },
      { session },
    );
    this.#reads = new ReadBarriers(towardsLeader);
    this.#pulls = new PullServer({ ...towardsLeader, core, ageMs: () => standing.ageMs() });
    this.#snapshots = new SnapshotServer({ snapshots: stores.snapshots, clock, packing: deps.packing });
    this.#snapshotter = new Snapshotter(
      { core, loop, machine, stores, log, onFailure: (error) => loop.fail(error) },
      { ...options, lastSnapshotBytes: beginning.snapshotBytes },
    );
    this.#intake = new SnapshotIntake({
      packing: deps.packing,
      transport,
      stores,
      log,
      loop,
      machine,
      snapshotter: this.#snapshotter,
      freshness: this.#freshness,
    });
    this.#guard = new StateGuard({
      machine,
      transport,
      clock,
      log,
      random: deps.random,
      leader: () => standing.leadership().leader,
      voters: () => loop.status.config.voters,
      replacement: new Replacement({
        transport,
        stores,
        clock,
        log,
        loop,
        machine,
        snapshotter: this.#snapshotter,
        freshness: this.#freshness,
        packing: deps.packing,
      }),
    });
    const ownSubmit = (command: Command): Promise<Submitted> => this.submit(command, { by: "agent" });
    const { duties, handOver, voting } = leaderSide(
      { loop, machine, standing, transport, clock, log, membership, submit: ownSubmit },
      options,
    );
    this.#duties = duties;
    this.#handOver = handOver;
    this.voting = voting;
    this.disk = new DiskSide({ loop, log, self, standing, handOver });
  }

  start(): void {
    const { tickMs } = this.#options;
    this.#loop.start(tickMs);
    // Deadlines pass also while a turn hangs on a slow disk, and after consensus has stopped.
    this.#beat = this.#deps.clock.every(tickMs, () => this.#expire());
    this.#loop.do(() => undefined);
  }

  /** For the founder, who waits for nobody: campaigns at once and resolves when the registry can be written. */
  async lead(timeoutMs: number): Promise<void> {
    this.#loop.do((core) => core.tick());
    const { commit } = this.#loop.status;
    await this.waitForIndex(commit + 1, { timeoutMs }); // The new leader's own first entry.
  }

  async stop(reason: AppError): Promise<void> {
    this.#stopped = reason;
    this.#intake.stop(reason);
    this.#feed.stop();
    await this.#guard.stop(reason);
    this.#beat?.[Symbol.dispose]();
    await this.#loop.stop();
    await this.#snapshotter.idle();
    this.#submitter.failAll(reason);
    this.#reads.failAll(reason);
    this.#pulls.failAll(reason);
    this.#waiters.failAll(reason);
  }

  get state(): Readonly<RegistryState> {
    return this.#machine.state;
  }

  status(): RegistryStatus {
    return this.#standing.status();
  }

  submit(command: Command, options: Parameters<Registry["submit"]>[1]): Promise<Submitted> {
    if (this.#machine.halted !== null) return Promise.reject(this.#standsStill());
    this.#beat?.rouse();
    return this.#submitter.submit(command, options, this.#options.submitMs);
  }

  async readBarrier(options: { readonly timeoutMs: number; readonly signal?: AbortSignal }): Promise<number> {
    if (this.#machine.halted !== null) throw this.#standsStill();
    this.#beat?.rouse();
    const { clock } = this.#deps;
    const endMs = clock.monotonicMs() + options.timeoutMs;
    const index = await this.#reads.index(options);
    return this.waitForIndex(index, { ...options, timeoutMs: endMs - clock.monotonicMs() });
  }

  waitForIndex(
    index: number,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<number> {
    if (this.#stopped !== null && index > this.#machine.index) return Promise.reject(this.#stopped);
    this.#beat?.rouse();
    return this.#waiters.wait(index, this.#machine.index, options);
  }

  /** Resolves when somebody else leads, nobody can, or the time is up. */
  async handOver(timeoutMs: number): Promise<void> {
    await this.#handOver.away(timeoutMs);
  }

  /** A consensus message from a proven sender. */
  onMessage(from: MemberId, body: Wire): void {
    // A heartbeat speaks of what its sender knows to be here: it would make a copy that stands still look fresh.
    if (this.#loop.ended) return;
    const message = decodeMessage(from, this.#deps.transport.self, body);
    if (message === null) {
      this.#complaints.about(from, "consensus", "unknown shape");
      return;
    }
    if (message.term >= this.#loop.status.term) {
      this.#standing.heardFrom(from);
      if (message.type === "append" || message.type === "commit" || message.type === "heartbeat") {
        this.#freshness.heard(message.commit, this.#deps.clock.monotonicMs(), this.#machine.index);
      }
      if (message.type === "snapshot") this.#intake.offered(from, message.meta);
    }
    this.#loop.step(message);
  }

  propose(from: MemberId, body: Wire): Promise<Wire> {
    if (this.#machine.halted !== null) return Promise.reject(this.#standsStill());
    return this.#submitter.propose(from, body);
  }

  pull(from: MemberId, body: Wire, signal: AbortSignal): Promise<Wire> {
    this.#beat?.rouse();
    return this.#pulls.serve(from, body, signal);
  }

  readIndex(body: Wire): Promise<Wire> {
    this.#beat?.rouse();
    return this.#reads.serve(body);
  }

  snapshot(body: Wire): Promise<Wire> {
    return this.#snapshots.serve(body);
  }

  stateHash(body: Wire): Wire {
    return this.#guard.serve(body);
  }

  #onTurn(): void {
    this.#standing.onTurn();
    this.#submitter.onTurn();
    this.#reads.onTurn();
    this.#pulls.onTurn();
    this.#duties.onTurn();
    this.#snapshotter.onTurn(this.#loop.status.applied);
    if (this.#machine.halted !== null) this.#onHalted();
  }

  #expire(): void {
    this.#submitter.onTurn();
    this.#reads.onTurn();
    this.#pulls.onTurn();
    this.#snapshots.onTurn();
    this.#waiters.expire(this.#machine.index);
    this.#guard.onTick();
    // Repaired it may be before the next turn; whose state was wrong had better not lead all the same.
    if (this.#machine.halted !== null) this.#onHalted();
    else if (this.#submitter.idle && this.#reads.idle) this.#rest();
  }

  /** No deadline passes before the next one; whoever begins to wait ends the rest. */
  #rest(): void {
    const nextMs = Math.min(this.#waiters.nextDeadlineMs, this.#pulls.nextDeadlineMs);
    this.#beat?.rest(Math.min(REST_MS_MAX, nextMs - this.#deps.clock.monotonicMs()), REST_MS_MAX / 2);
  }

  /** Nothing will be applied here any more: callers need not wait, and somebody who can apply had better lead. */
  #onHalted(): void {
    const reason = this.#standsStill();
    this.#submitter.failAll(reason);
    this.#reads.failAll(reason);
    this.#handOver.begin();
  }

  #standsStill(): AppError {
    if (this.#loop.failure?.full === true) return this.#deps.diskFull();
    const { leader, missing } = this.status();
    return new AppError("quorum_lost", { leader, missing }, this.#machine.halted ?? undefined);
  }
}
