import { DiskRoom } from "./disk-room.ts";
import { DiskWatch } from "./disk-watch.ts";
import { REPLICA_DEFAULTS, type ReplicaOptions } from "./options.ts";
import { Participant, type ReplicaDeps } from "./participant.ts";
import { copyHeld } from "./copy.ts";
import { Exchange } from "./exchange.ts";
import { foundingEntry, loadBeginning, recoveredBeginning } from "./start.ts";
import { Watchers } from "./watch.ts";
import { CONSENSUS, Complaints, METHOD } from "./wire.ts";
import type { HeldCopy, Registry, RegistryStatus, Submitted, Voting } from "#agent/ports/registry.ts";
import { StoreDamaged, WriteFailed, type ClusterIdentity, type StoreDisk } from "#agent/ports/store.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { assert } from "#shared/lib/assert.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Change, RegistryState } from "#shared/registry/state.ts";
import { emptyState } from "#shared/registry/reduce.ts";
import type { Command } from "#shared/registry/command.ts";
import { nameOf } from "#shared/registry/queries/members.ts";

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
  readonly #exchange: Exchange;
  /** What is read while there is no participation: what the last one left, until the cluster is forgotten. */
  #outside: Readonly<RegistryState> = emptyState();
  #part: Participant | null = null;
  #listens = false;
  #seq = 0;
  /** Which cluster is taken part in. */
  #cluster: ClusterIdentity | null = null;
  /** How often a participation was ended from outside. */
  #stops = 0;
  #disk: { readonly room: DiskRoom; readonly watch: DiskWatch } | null = null;
  /** What is wrong with the store; what is in memory is served on. */
  #damage: StoreDamaged | null = null;

  constructor(deps: ReplicaDeps, options: Partial<ReplicaOptions> = {}) {
    this.#deps = deps;
    this.#options = { ...REPLICA_DEFAULTS, ...options };
    this.#watchers = new Watchers({ log: deps.log });
    this.#complaints = new Complaints({ log: deps.log });
    this.#exchange = new Exchange(deps);
  }

  /**
   * Keeps an eye on the disk under the stores until disposed of: who cannot write does not lead, damage at rest is found, and
   * after a failed write this agent takes part again by itself once the disk is well.
   */
  watchDisk(disk: StoreDisk, options: { readonly reserveBytes: number }): AsyncDisposable {
    const { clock, log, transport } = this.#deps;
    const room = new DiskRoom({ disk, transport, log }, options);
    const watch = new DiskWatch({
      disk,
      room,
      clock,
      log,
      part: () => this.#part?.disk ?? null,
      onDamage: (damage) => this.#onDamage(damage),
      mend: () => this.#mend(disk),
    });
    this.#disk = { room, watch };
    watch.start();
    return watch;
  }

  /** Fit for a watchdog: false when a restart may help. */
  healthy(): boolean {
    return !this.#exchange.overtaken && (this.#disk?.watch.healthy() ?? true);
  }

  /** Starts a new cluster with this agent as its only voter. Durable and writable when it resolves. */
  async found(cluster: ClusterIdentity): Promise<void> {
    const { stores, transport } = this.#deps;
    assert(this.#part === null, "an agent is in one cluster at a time");
    const { entry, hardState } = foundingEntry(transport.self);
    await stores.forgetCluster(); // What an attempt that broke off may have left.
    await stores.log.append({ truncateFrom: null, entries: [entry], hardState, sync: true });
    await stores.identity.saveCluster(cluster);
    this.#cluster = cluster;
    const part = await this.#begin();
    await part.lead(FOUND_MS);
  }

  /** Becomes a member that pulls the registry from whom the transport reaches. Durable; not caught up when it resolves. */
  async follow(cluster: ClusterIdentity): Promise<void> {
    const { stores } = this.#deps;
    assert(this.#part === null, "an agent is in one cluster at a time");
    await stores.forgetCluster();
    await stores.identity.saveCluster(cluster);
    this.#cluster = cluster;
    await this.#begin();
  }

  /** Goes on from what the disk holds, after a restart. Rejects with StoreDamaged. */
  async resume(cluster: ClusterIdentity): Promise<void> {
    assert(this.#part === null, "an agent is in one cluster at a time");
    this.#cluster = cluster;
    await this.#begin();
    const { clusterId, incarnation } = cluster;
    this.#deps.log.info({ clusterId, incarnation, applied: this.state.index }, "back in the cluster");
  }

  /** What the disk holds of its cluster, whoever takes part in it meanwhile. Null without one. Rejects with StoreDamaged. */
  copy(): Promise<HeldCopy | null> {
    return copyHeld(this.#deps.stores);
  }

  /**
   * Puts the state in the place of all that is held here, with this agent as its only voter, and goes on from there; writable
   * when it resolves. `onDurable` is called when there is no way back, before anything happens in the new cluster's name.
   *
   * Rejects when it could not be written; the participation before then goes on, after WriteFailed once the disk is well. Rejects
   * with StoreDamaged when the disk was found to lie.
   */
  async recover(cluster: ClusterIdentity, state: RegistryState, onDurable: () => void): Promise<void> {
    const part = await this.#alone(async () => {
      const { stores, transport } = this.#deps;
      if (this.#damage !== null) throw this.#damage; // What lies about the former cluster would lie about this one.
      const former = this.#part;
      const stops = this.#stops;
      await former?.stop(new AppError("not_in_cluster", {}));
      try {
        await stores.recover({ identity: cluster, ...recoveredBeginning(transport.self, state) });
      } catch (error) {
        if (former !== null && this.#stops === stops) await this.#goOn(former, error);
        throw error;
      }
      onDurable();
      this.#cluster = cluster;
      if (this.#stops !== stops) throw new AppError("not_in_cluster", {});
      return this.#begin();
    });
    await part.lead(FOUND_MS);
  }

  /** Ends the participation; disk and readers keep what there is. Waiting callers are told not_in_cluster, or outcome_unknown. */
  async stop(): Promise<void> {
    const part = this.#part;
    this.#outside = this.state;
    this.#part = null;
    this.#stops += 1;
    await part?.stop(new AppError("not_in_cluster", {}));
  }

  /** Stops, and removes log, snapshots and cluster identity from the disk. */
  async forget(): Promise<void> {
    await this.stop();
    await this.#deps.stores.forgetCluster();
    this.#outside = emptyState();
    this.#watchers.reset(0);
  }

  get state(): Readonly<RegistryState> {
    return this.#part?.state ?? this.#outside;
  }

  status(): RegistryStatus {
    const status = this.#part?.status() ?? OUTSIDE;
    if (this.#damage !== null) return { ...status, halted: this.#damage.message };
    const full =
      this.#part?.disk.failure?.full === true ||
      (status.role === "leader" && this.#disk?.room.refuses === true);
    return full ? { ...status, diskFull: this.#diskFull().facts } : status;
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

  /** Consensus must not go on from a store that lies. */
  #onDamage(damage: StoreDamaged): void {
    this.#damage = damage;
    this.#part?.disk.fail(damage);
  }

  /**
   * A write failed, and the disk may be well again. The commands' numbers go on where they were: a session is a life of the
   * process, which has not ended.
   */
  #mend(disk: StoreDisk): Promise<void> {
    if (this.#exchange.overtaken) return Promise.resolve();
    return this.#alone(async () => {
      const part = this.#part;
      if (disk.failure !== null) part?.disk.fail(disk.failure);
      await part?.stop(this.#failed());
      try {
        await disk.reopen();
        if (part === null || this.#part !== part) return;
        await this.#exchange.check(this.#cluster);
        await this.#begin(part.status().quarantined ? null : part.state);
        this.#deps.log.info(
          { applied: this.state.index },
          "the disk takes writes again, back in the cluster",
        );
      } catch (error) {
        if (error instanceof StoreDamaged) this.#onDamage(error);
        throw error;
      }
    });
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#exchange.alone(work, () => this.#failed());
  }

  /** The stores were not exchanged, as far as is known: back to the participation that was stopped for it. */
  async #goOn(former: Participant, error: unknown): Promise<void> {
    if (error instanceof WriteFailed) former.disk.fail(error);
    else await this.#begin(former.status().quarantined ? null : former.state);
  }

  #failed(): AppError {
    const { leader, missing, halted } = this.status();
    if (this.#part?.disk.failure?.full === true) return this.#diskFull();
    return new AppError("quorum_lost", { leader, missing }, halted ?? undefined);
  }

  #diskFull(): AppError<"disk_full"> {
    const { self } = this.#deps.transport;
    const host = nameOf(this.state, self);
    const unknown = { host, path: "", free_bytes: 0, needed_bytes: 0 };
    return this.#disk?.room.error(host) ?? new AppError("disk_full", unknown);
  }

  /** `held`: the state of the participation before, when the stores were opened anew under it. */
  async #begin(held: Readonly<RegistryState> | null = null): Promise<Participant> {
    const beginning = await loadBeginning(this.#deps.stores, held);
    const shared = {
      watchers: this.#watchers,
      complaints: this.#complaints,
      nextSeq: () => {
        this.#seq += 1;
        return this.#seq;
      },
      refusal: () => (this.#disk?.room.refuses === true ? this.#diskFull() : null),
      diskFull: () => this.#diskFull(),
    };
    this.#part = new Participant({ ...this.#deps, ...shared }, beginning, this.#options);
    this.#listen();
    this.#part.start();
    if (beginning.state !== held && beginning.state.index > 0) this.#watchers.reset(beginning.state.index);
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
    transport.onRequest(METHOD.room, () => Promise.resolve({ room: this.#hasRoom() }));
    transport.onRequest(METHOD.snapshot, async (_from, body) => this.#running().snapshot(body));
  }

  #hasRoom(): boolean {
    return this.status().halted === null && this.#disk?.room.enough !== false;
  }

  #running(): Participant {
    if (this.#part === null) throw new AppError("not_in_cluster", {});
    return this.#part;
  }
}
