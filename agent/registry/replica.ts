import type { ReplicaOptions } from "./options.ts";
import { Participant, type ReplicaDeps } from "./participant.ts";
import { foundingEntry, loadBeginning } from "./start.ts";
import { Watchers } from "./watch.ts";
import { CONSENSUS, Complaints, METHOD } from "./wire.ts";
import type { Registry, RegistryStatus, Submitted, Voting } from "#agent/ports/registry.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { assert } from "#shared/lib/assert.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { LOG_TAIL_ENTRIES, SNAPSHOT_ENTRIES, SNAPSHOT_LOG_BYTES } from "#shared/lib/limits.ts";
import type { Change, RegistryState } from "#shared/registry/state.ts";
import { emptyState } from "#shared/registry/reduce.ts";
import type { Command } from "#shared/registry/command.ts";

const DEFAULTS: ReplicaOptions = {
  tickMs: 50,
  electionTicks: 20,
  heartbeatTicks: 2,
  submitMs: 10_000,
  pullWaitMs: 1000,
  deadVoterMs: 10_000,
  joiningMs: 600_000,
  snapshotEntries: SNAPSHOT_ENTRIES,
  snapshotLogBytes: SNAPSHOT_LOG_BYTES,
  logTailEntries: LOG_TAIL_ENTRIES,
};

/** How long a founder may need to become the leader of itself: a few writes to its disk. */
const FOUND_MS = 30_000;

const OUTSIDE: RegistryStatus = {
  role: "learner",
  term: 0,
  leader: null,
  applied: 0,
  commit: 0,
  config: { voters: [], outgoing: [], learners: [] },
  ageMs: null,
  quorum: false,
  missing: [],
  halted: null,
  quarantined: false,
};

/**
 * The replicated registry on this agent. Outside a cluster the state is empty and everything else rejects with
 * not_in_cluster; `found`, `follow` and `resume` begin a participation, `stop` and `forget` end it.
 */
export class Replica implements Registry, Voting {
  readonly #deps: ReplicaDeps;
  readonly #options: ReplicaOptions;
  readonly #watchers: Watchers;
  readonly #complaints: Complaints;
  readonly #outside: Readonly<RegistryState> = emptyState();
  #part: Participant | null = null;
  #listens = false;
  #seq = 0;

  constructor(deps: ReplicaDeps, options: Partial<ReplicaOptions> = {}) {
    this.#deps = deps;
    this.#options = { ...DEFAULTS, ...options };
    this.#watchers = new Watchers({ log: deps.log });
    this.#complaints = new Complaints({ log: deps.log });
  }

  /** Starts a new cluster with this agent as its only voter. Durable and writable when it resolves. */
  async found(cluster: ClusterIdentity): Promise<void> {
    const { stores, transport } = this.#deps;
    assert(this.#part === null, "an agent is in one cluster at a time");
    const { entry, hardState } = foundingEntry(transport.self);
    await stores.forgetCluster(); // What an attempt that broke off may have left.
    await stores.log.append({ truncateFrom: null, entries: [entry], hardState, sync: true });
    await stores.identity.saveCluster(cluster);
    const part = await this.#begin();
    await part.lead(FOUND_MS);
  }

  /** Becomes a member that pulls the registry from whom the transport reaches. Durable; not caught up when it resolves. */
  async follow(cluster: ClusterIdentity): Promise<void> {
    const { stores } = this.#deps;
    assert(this.#part === null, "an agent is in one cluster at a time");
    await stores.forgetCluster();
    await stores.identity.saveCluster(cluster);
    await this.#begin();
  }

  /** Goes on from what the disk holds, after a restart. Rejects with StoreDamaged. */
  async resume(cluster: ClusterIdentity): Promise<void> {
    assert(this.#part === null, "an agent is in one cluster at a time");
    await this.#begin();
    const { clusterId, incarnation } = cluster;
    this.#deps.log.info({ clusterId, incarnation, applied: this.state.index }, "back in the cluster");
  }

  /** Ends the participation; the disk keeps everything. Waiting callers are told not_in_cluster, or outcome_unknown. */
  async stop(): Promise<void> {
    const part = this.#part;
    this.#part = null;
    await part?.stop(new AppError("not_in_cluster", {}));
  }

  /** Stops, and removes log, snapshots and cluster identity from the disk. */
  async forget(): Promise<void> {
    await this.stop();
    await this.#deps.stores.forgetCluster();
    this.#watchers.reset(0);
  }

  get state(): Readonly<RegistryState> {
    return this.#part?.state ?? this.#outside;
  }

  status(): RegistryStatus {
    return this.#part?.status() ?? OUTSIDE;
  }

  submit(command: Command, options: Parameters<Registry["submit"]>[1]): Promise<Submitted> {
    return this.#part?.submit(command, options) ?? Promise.reject(new AppError("not_in_cluster", {}));
  }

  async readBarrier(options: { readonly timeoutMs: number; readonly signal?: AbortSignal }): Promise<number> {
    return this.#running().readBarrier(options);
  }

  async waitForIndex(
    index: number,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<number> {
    return this.#running().waitForIndex(index, options);
  }

  onChange(listener: (changes: readonly Change[]) => void): Disposable {
    return this.#watchers.onChange(listener);
  }

  onReset(listener: (index: number) => void): Disposable {
    return this.#watchers.onReset(listener);
  }

  async handOver(timeoutMs: number): Promise<void> {
    await this.#part?.handOver(timeoutMs);
  }

  async lead(to: MemberId | null): Promise<MemberId> {
    return this.#running().voting.lead(to);
  }

  async voteOut(peer: MemberId): Promise<void> {
    await this.#running().voting.voteOut(peer);
  }

  async #begin(): Promise<Participant> {
    const beginning = await loadBeginning(this.#deps.stores);
    const shared = {
      watchers: this.#watchers,
      complaints: this.#complaints,
      nextSeq: () => {
        this.#seq += 1;
        return this.#seq;
      },
    };
    this.#part = new Participant({ ...this.#deps, ...shared }, beginning, this.#options);
    this.#listen();
    this.#part.start();
    if (beginning.state.index > 0) this.#watchers.reset(beginning.state.index);
    return this.#part;
  }

  /** The transport takes one handler per name for good, so they outlive a participation. */
  #listen(): void {
    if (this.#listens) return;
    this.#listens = true;
    const { transport } = this.#deps;
    transport.onMessage(CONSENSUS, (from, body) => this.#part?.onMessage(from, body));
    transport.onRequest(METHOD.propose, async (from, body) => this.#running().propose(from, body));
    transport.onRequest(METHOD.pull, async (from, body, signal) => this.#running().pull(from, body, signal));
    transport.onRequest(METHOD.readIndex, async (_from, body) => this.#running().readIndex(body));
    transport.onRequest(METHOD.stateHash, async (_from, body) => this.#running().stateHash(body));
    transport.onRequest(METHOD.lead, async (_from, body) => this.#running().voting.serveLead(body));
    transport.onRequest(METHOD.voteOut, async (_from, body) => this.#running().voting.serveVoteOut(body));
    transport.onRequest(METHOD.snapshot, async (_from, body) => this.#running().snapshot(body));
  }

  #running(): Participant {
    if (this.#part === null) throw new AppError("not_in_cluster", {});
    return this.#part;
  }
}
