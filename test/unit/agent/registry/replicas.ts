import { Replica } from "#agent/registry/replica.ts";
import type { ReplicaOptions } from "#agent/registry/options.ts";
import type { HeldCopy, Submitted } from "#agent/ports/registry.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import { RaftCore } from "#shared/consensus/core.ts";
import type { CoreOptions, CoreStart } from "#shared/consensus/ready.ts";
import { Prng } from "#shared/lib/prng.ts";
import type { Command } from "#shared/registry/command.ts";
import { recovered } from "#shared/registry/recovery.ts";
import { encodeState } from "#shared/registry/snapshot.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeMesh } from "#test/support/fake-mesh.ts";
import { MemoryDisk, openMemoryStores } from "#test/support/memory-store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";

/** One agent's registry, its disk and its log. The disk outlives the replica. */
export interface Host {
  readonly peer: string;
  readonly n: number;
  readonly disk: MemoryDisk;
  readonly log: RecordingLog;
  replica: Replica;
  watch: AsyncDisposable;
  up: boolean;
  /** How far this agent distrusts itself: 0 to 8. */
  score: number;
  /** Ticks that its cores were given. */
  ticks: number;
}

const identity = (uid: number): ClusterIdentity => ({ clusterId: "c1", incarnation: 1, uid, contacts: [] });

/** The real core, which tells each tick that it is given. */
export class CountedCore extends RaftCore {
  readonly #onTick: () => void;

  constructor(options: CoreOptions, start: CoreStart, onTick: () => void) {
    super(options, start);
    this.#onTick = onTick;
  }

  override tick(): void {
    this.#onTick();
    super.tick();
  }
}

/** Real replicas with the real core, over a mesh, disks and a clock in memory. Hosts are numbered from 1; 1 founds. */
export class Replicas {
  readonly clock = new FakeClock();
  readonly mesh = new FakeMesh({ clock: this.clock });
  readonly hosts: Host[] = [];
  readonly #options: Partial<ReplicaOptions>;
  readonly #random: Prng;

  constructor(options: Partial<ReplicaOptions> = {}, seed = 1) {
    this.#options = options;
    this.#random = new Prng(seed);
  }

  /** A cluster of this many active members; resolves when `voters` of them vote. */
  static async form(count: number, options: Partial<ReplicaOptions> = {}): Promise<Replicas> {
    const replicas = new Replicas(options);
    await replicas.found();
    for (let n = 2; n <= count; n += 1) await replicas.join();
    await replicas.settled();
    return replicas;
  }

  async found(): Promise<Host> {
    const host = await this.#make(1);
    await this.wait(host.replica.found(identity(1)));
    const made = await this.write(host, makeCluster(makeMember(1, { peer: host.peer })));
    if (!made.result.ok) throw new Error("the cluster was not created");
    return host;
  }

  /**
   * Adds the next host: registered by the first one that is up, following, active. `wantUid`: in that member's place;
   * `activates`: false leaves it joining.
   */
  async join({ wantUid, activates = true }: { wantUid?: number; activates?: boolean } = {}): Promise<Host> {
    const host = await this.#make(this.hosts.length + 1);
    const member = makeMember(host.n, { peer: host.peer });
    const place = wantUid === undefined ? {} : { want_uid: wantUid };
    const added = await this.write(this.anyUp(host), { type: "member.add", member, ...place });
    if (!added.result.ok) throw new Error(`the join was refused: ${added.result.refusal.kind}`);
    await this.wait(host.replica.follow(identity(wantUid ?? host.n)));
    if (activates) await this.activate(host);
    return host;
  }

  async activate(host: Host): Promise<void> {
    await this.write(this.anyUp(host), { type: "member.activate", peer: host.peer });
  }

  async #make(n: number): Promise<Host> {
    const host: Host = {
      peer: `peer-${n}`,
      n,
      disk: new MemoryDisk(),
      log: new RecordingLog(),
      up: true,
      score: 0,
      ticks: 0,
      replica: undefined as unknown as Replica,
      watch: new AsyncDisposableStack(),
    };
    await this.#boot(host);
    this.hosts.push(host);
    return host;
  }

  async #boot(host: Host): Promise<void> {
    const stores = openMemoryStores(host.disk);
    host.replica = new Replica(
      {
        transport: this.mesh.join(host.peer),
        stores,
        clock: this.clock,
        log: host.log,
        random: () => this.#random.next(),
        createCore: (options, start) => {
          const onTick = (): number => (host.ticks += 1);
          return new CountedCore(options, start, onTick);
        },
        membership: {
          isAlive: (peer) => this.hosts.some((other) => other.peer === peer && other.up),
          self: () => ({ score: host.score, loopDelayMs: 0 }),
        },
        session: (await stores.identity.host()).starts,
      },
      this.#options,
    );
    host.watch = host.replica.watchDisk(stores.disk, { reserveBytes: 64 * 1024 * 1024 });
    host.up = true;
  }

  /** As by kill -9 with a power cut: what was not synced is lost. */
  async kill(host: Host): Promise<void> {
    host.up = false;
    this.mesh.leave(host.peer);
    // The dead process writes and says nothing any more; its callers are gone with it.
    host.disk.broken = new Error("killed");
    const dead = host.replica;
    await this.wait(Promise.all([host.watch[Symbol.asyncDispose](), dead.stop()]));
    host.disk.broken = null;
    host.disk.cutPower();
  }

  async restart(host: Host): Promise<void> {
    await this.#boot(host);
    await this.wait(host.replica.resume(host.disk.seen.cluster ?? identity(host.n)));
  }

  /** Carries the cluster on from what this host holds, as a recovery does. */
  async recover(host: Host): Promise<ClusterIdentity> {
    const { identity: former, state } = await this.#copy(host);
    const incarnation = former.incarnation + 1;
    const next = { ...former, incarnation, lineage: `lineage-${incarnation}`, contacts: [] };
    const member = makeMember(host.n, { peer: host.peer });
    const after = recovered(state, { member, uid: null, at: this.clock.now(), incarnation });
    await this.wait(host.replica.recover(next, after, () => undefined));
    return next;
  }

  async #copy(host: Host): Promise<HeldCopy> {
    const copy = await this.wait(host.replica.copy());
    if (copy === null) throw new Error("nothing is held");
    return copy;
  }

  /** Lets virtual time pass until the promise settles. */
  async wait<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    let open = true;
    const seen = promise.finally(() => {
      open = false;
    });
    seen.catch(() => undefined);
    await this.clock.until(() => !open, limitMs);
    return seen;
  }

  write(
    host: Host,
    command: Command,
    options: { key?: string; timeoutMs?: number } = {},
  ): Promise<Submitted> {
    return this.wait(host.replica.submit(command, { by: "admin", ...options }));
  }

  zone(host: Host, name: string, options: { key?: string; timeoutMs?: number } = {}): Promise<Submitted> {
    return this.write(host, { type: "zone.create", name }, options);
  }

  get leader(): Host | null {
    const leaders = this.hosts.filter(({ up, replica }) => up && replica.status().role === "leader");
    return leaders.toSorted((a, b) => b.replica.status().term - a.replica.status().term)[0] ?? null;
  }

  get up(): Host[] {
    return this.hosts.filter(({ up }) => up);
  }

  host(n: number): Host {
    const host = this.hosts[n - 1];
    if (host === undefined) throw new Error(`there is no host ${n}`);
    return host;
  }

  anyUp(but?: Host): Host {
    const host = this.up.find((other) => other !== but);
    if (host === undefined) throw new Error("nobody is up");
    return host;
  }

  votersOf(host: Host): readonly string[] {
    return host.replica.status().config.voters;
  }

  /** Waits until there is one leader, no change of voters is under way, and all that are up hold the same registry. */
  async settled(limitMs = 60_000): Promise<void> {
    await this.clock.until(() => this.#isSettled(), limitMs, 50);
  }

  #isSettled(): boolean {
    const { leader } = this;
    if (leader === null) return false;
    const { config, commit } = leader.replica.status();
    if (config.outgoing.length > 0 || config.learners.length > 0) return false;
    const active = [...leader.replica.state.members.values()].filter(({ status }) => status === "active");
    const wanted = active.length < 3 ? 1 : active.length < 5 ? 3 : 5;
    if (config.voters.length !== wanted) return false;
    return this.up.every(({ replica }) => {
      const { applied, leader: followed } = replica.status();
      return applied === commit && followed === leader.peer;
    });
  }

  /** The registries of all that are up, as text; equal when they agree. */
  registries(): string[] {
    return this.up.map(({ replica }) => encodeState(replica.state));
  }
}
