import { SimHost, type HostWorld, type Process } from "./cluster-host.ts";
import { Disaster } from "./cluster-disaster.ts";
import { GOOD_DISK } from "./cluster-disk.ts";
import type { Faults } from "./cluster-faults.ts";
import type { ClusterOracle } from "./cluster-oracle.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import { WriteFailed } from "#agent/ports/store.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { request } from "#test/unit/agent/bootstrap/fake-host.ts";

/** How often the operator looks at the hosts. Milliseconds. */
const LOOK_MS = 250;
/** How long an agent may stand still before it is started anew. Milliseconds. */
const HALTED_MS = 6000;
/** How likely the operator gives a host up whose joining broke off. */
const GIVES_UP = 0.1;
/** How likely it gives the place of a failed host away that may come back. */
const HASTY = 0.05;
/** How likely it does, at each look, what can wait: settings, and taking out who will not come back. */
const SOMETIME = 0.1;
/** Grace once nothing goes wrong any more. Milliseconds. */
const CALM_GRACE_MS = 2000;

interface OperatorWorld extends HostWorld {
  readonly faults: Faults;
  readonly hosts: SimHost[];
  readonly oracle: ClusterOracle;
  members(): readonly SimHost[];
  running(): readonly SimHost[];
}

/**
 * Who runs the cluster: asks the first host to create it and the others to join, again and again until they have; starts what
 * has crashed, restarts what says that it stands still; removes a host now and then, and brings new ones in its place. Where a
 * cluster wants to be repaired first, newcomers take the places of those who will not come back.
 */
export class Operator {
  readonly #world: OperatorWorld;
  readonly #restartAtMs = new Map<SimHost, number>();
  readonly #disaster: Disaster;
  #numbers = 0;
  /** Whether the first host has its cluster. */
  #founded = false;
  #calm = false;

  constructor(world: OperatorWorld) {
    this.#world = world;
    this.#disaster = new Disaster(world, {
      lose: (host) => this.#lose(host),
      sendAway: (host, untilMs) => {
        host.crash(false);
        this.#restartAtMs.set(host, untilMs);
      },
      refused: (error) => this.#refused(error),
      isRemoved: ({ peer }) => world.oracle.rules.removed.includes(peer),
    });
  }

  start(): void {
    const { faults, prng, schedule } = this.#world;
    for (let i = 0; i < faults.first; i += 1) this.#bring();
    for (let i = faults.first; i < faults.hosts; i += 1) {
      schedule.after(prng.between(3000, 15_000), () => this.#bring());
    }
    if (faults.disasterMs !== null) this.#disaster.await(faults.disasterMs, () => this.#calm);
    const look = (): void => {
      for (const host of this.#world.hosts) this.#lookAfter(host);
      this.#steer();
      schedule.after(LOOK_MS, look);
    };
    schedule.after(1, look);
  }

  /** Everybody starts again soon, with a good disk. */
  heal(): void {
    this.#calm = true;
    this.#restartAtMs.clear();
    for (const { disk } of this.#world.hosts) disk.weather = GOOD_DISK;
  }

  /** Some member leaves, or is taken out by another one, as long as enough are left for the cluster to go on. */
  async remove(): Promise<void> {
    const { prng, oracle, count, defect } = this.#world;
    const members = this.#world.members();
    const known = oracle.rules.hosts.filter(({ status }) => status === "active");
    if (known.length < 4 || members.length < 4 || this.#disaster.lasts) return;
    const { peer } = prng.pick(known);
    const at = prng.chance(0.4) ? members.find((host) => host.peer === peer) : prng.pick(members);
    try {
      await at?.process?.departure.remove(peer, { by: "operator", force: prng.chance(0.7) });
      count("removals done");
    } catch (error) {
      if (error instanceof AppError) count(`removals: ${error.kind}`);
      else defect(error);
    }
  }

  /** What is not yet as it must be once nothing goes wrong any more; null when all is well. */
  // oxlint-disable-next-line complexity -- one line for each thing that must hold
  whatIsWrong(): string | null {
    const { hosts, oracle } = this.#world;
    const wanted = hosts.filter(({ retired }) => !retired);
    const names = wanted.map(({ peer }) => peer).sort();
    const leader = wanted.find(({ process }) => process?.replica.status().role === "leader")?.process;
    if (leader === undefined || leader === null) return "nobody leads";
    const { config, commit } = leader.replica.status();
    const { voters } = config;
    for (const { peer, process } of wanted) {
      if (process === null) return `${peer} is down`;
      const { bootstrap, replica, membership } = process;
      if (bootstrap.state.name !== "completed") return `${peer}: ${JSON.stringify(bootstrap.state)}`;
      const status = replica.status();
      if (status.halted !== null) return `${peer} stands still: ${status.halted}`;
      if (status.leader === null || !status.quorum) return `${peer} knows no leader`;
      if (status.applied !== commit) return `${peer} is at ${status.applied}, its leader at ${commit}`;
      const members = [...replica.state.members.values()];
      if (members.some(({ failedAt }) => failedAt !== null)) return `${peer} counts somebody as failed`;
      const active = members.filter((one) => one.status === "active").map((one) => one.peer);
      if (members.length !== active.length) return `${peer} still knows joining members`;
      if (active.sort().join() !== names.join())
        return `${peer} counts ${active.join()}, not ${names.join()}`;
      const gone = names.filter((other) => membership.view(other).liveness !== "alive");
      if (gone.length > 0) return `${peer} believes ${gone.join()} not to be alive`;
    }
    if (config.outgoing.length > 0 || config.learners.length > 0) return "a change of voters is under way";
    if (voters.length % 2 === 0 || voters.length > 5) return `${voters.join()} vote`;
    if (voters.length < Math.min(3, names.length % 2 === 0 ? names.length - 1 : names.length))
      return `only ${voters.join()} vote`;
    const strangers = voters.filter((voter) => !names.includes(voter));
    if (strangers.length > 0) return `${strangers.join()} vote and are no members`;
    return oracle.lastApplied > commit ? "something is applied that its leader does not have" : null;
  }

  #bring(): void {
    const world = this.#world;
    const { faults } = world;
    this.#numbers += 1;
    const host = new SimHost(world, this.#numbers, faults.drift);
    if (!this.#calm) {
      host.disk.weather = { delayMsMax: faults.diskMsMax, failure: faults.diskFailure, full: false };
    }
    world.hosts.push(host);
    host.boot();
  }

  #lookAfter(host: SimHost): void {
    const { schedule, oracle } = this.#world;
    if (host.retired) return;
    if (this.#founded && oracle.rules.removed.includes(host.peer)) {
      this.#replace(host);
      return;
    }
    if (host.life === null) {
      if (schedule.nowMs >= this.#restartMs(host)) {
        this.#restartAtMs.delete(host);
        host.boot();
      }
      return;
    }
    if (host.process !== null) this.#tend(host, host.process);
  }

  /** When a host that is down is started again. */
  #restartMs(host: SimHost): number {
    const { prng, faults, schedule } = this.#world;
    const known = this.#restartAtMs.get(host);
    if (known !== undefined) return known;
    const atMs = schedule.nowMs + prng.between(50, this.#calm ? 300 : faults.downMsMax);
    this.#restartAtMs.set(host, atMs);
    return atMs;
  }

  #tend(host: SimHost, process: Process): void {
    const { count, prng, oracle } = this.#world;
    const { bootstrap } = process;
    const { name } = bootstrap.state;
    if (name === "completed") {
      if (host === this.#world.hosts[0]) this.#founded = true;
      this.#disaster.tend(host, process);
      if (this.#calm && this.#disaster.cannotBeTold(process)) {
        count("hosts left behind that nobody can tell");
        this.#replace(host);
        return;
      }
      this.#restartHalted(host, process);
      return;
    }
    if (name === "idle" && bootstrap.state.retired !== undefined) {
      // It was left behind by a recovery, or removed: it comes back as another peer.
      count("hosts left behind or removed");
      this.#replace(host);
      return;
    }
    if (name === "initiated" || name === "running") return;
    if (name === "error") count(`join or create broken off: ${bootstrap.state.failure.code}`);
    if (name === "error" && this.#founded && prng.chance(GIVES_UP)) {
      this.#abandon(host);
      return;
    }
    if (!this.#founded && host === this.#world.hosts[0]) {
      const asked = request({ clusterName: "simulated" });
      bootstrap.start("create_cluster", asked).catch((error: unknown) => this.#refused(error));
      return;
    }
    if (!this.#founded || prng.chance(0.3)) return;
    const nodes = this.#world
      .members()
      .filter(({ peer }) => peer !== host.peer && !oracle.rules.removed.includes(peer))
      .map(({ address }) => address);
    if (nodes.length === 0) return;
    count("joins begun");
    const uid = this.#placeFor(bootstrap.state);
    if (uid !== undefined) count("places asked for");
    const identity = { externalAddrs: [], ...(uid === undefined ? {} : { uid }) };
    const asked = request({ nodes: prng.shuffle(nodes).slice(0, 2), identity });
    bootstrap.start("join_cluster", asked).catch((error: unknown) => this.#refused(error));
  }

  /** Whose place a host asks for that was told to repair the cluster first: of one that will not come back, or, hastily, of any. */
  #placeFor(state: BootstrapState): number | undefined {
    if (state.name !== "error" || state.failure.code !== "repair_required") return undefined;
    const { prng } = this.#world;
    const details = state.failure.details as { failed_nodes?: { uid: number }[]; replace_candidate?: number };
    const lost = this.#lostForGood().map(({ uid }) => uid);
    const free = (details.failed_nodes ?? []).map(({ uid }) => uid).filter((uid) => lost.includes(uid));
    if (free.length > 0) return prng.pick(free);
    return !this.#calm && prng.chance(HASTY) ? details.replace_candidate : undefined;
  }

  /** Members by the cluster's own log that have failed and will not come back. */
  #lostForGood(): readonly { readonly peer: string; readonly uid: number }[] {
    const { hosts, oracle } = this.#world;
    return oracle.rules.hosts.filter(
      ({ peer, failed }) => failed && (hosts.find((host) => host.peer === peer)?.retired ?? true),
    );
  }

  /** What can wait until somebody leads: the settings, and taking out those for whom no newcomer is left. */
  #steer(): void {
    const { prng, faults, count } = this.#world;
    const leads = ({ process }: SimHost): boolean => process?.replica.status().role === "leader";
    const process = this.#world.members().find(leads)?.process ?? null;
    if (process === null || !prng.chance(SOMETIME)) return;
    const settings = process.replica.state.cluster?.settings;
    const failed_after_ms = this.#calm ? CALM_GRACE_MS : faults.failedAfterMs;
    const { repairPolicy: repair_policy } = faults;
    if (settings?.failedAfterMs !== failed_after_ms || settings.repairPolicy !== repair_policy) {
      process.replica
        .submit({ type: "cluster.configure", failed_after_ms, repair_policy }, { by: "operator" })
        .catch((error: unknown) => this.#refused(error));
      return;
    }
    const waiting = this.#world
      .running()
      .some(({ process: other }) => other?.bootstrap.state.name === "error");
    const [gone] = this.#lostForGood();
    if (gone === undefined || this.#disaster.lasts || (waiting && repair_policy === "replace")) return;
    count("failed hosts taken out");
    process.departure
      .remove(gone.peer, { by: "operator", force: true })
      .catch((error: unknown) => this.#refused(error));
  }

  /** Most that stand still go on by themselves; one that does not is started anew. */
  #restartHalted(host: SimHost, process: Process): void {
    const { schedule, count } = this.#world;
    if (process.replica.status().halted === null) {
      process.haltedSinceMs = null;
      return;
    }
    if (process.haltedSinceMs === null) count("halted");
    process.haltedSinceMs ??= schedule.nowMs;
    if (schedule.nowMs - process.haltedSinceMs < HALTED_MS) return;
    count("restarted because they were halted");
    host.crash(false);
  }

  /** A host whose joining broke off is left alone for ever; what the cluster has noted of it must go. */
  #abandon(host: SimHost): void {
    this.#world.count("hosts abandoned");
    host.retired = true;
    host.crash(false);
    this.#bring();
  }

  #refused(error: unknown): void {
    if (!(error instanceof AppError) && !(error instanceof WriteFailed)) this.#world.defect(error);
  }

  /** Its disk is gone; a new host is bought. */
  #lose(host: SimHost): void {
    const { schedule, prng } = this.#world;
    host.retired = true;
    host.crash(true);
    schedule.after(prng.between(500, 5000), () => this.#bring());
  }

  /** A peer id that was removed never comes back; its host does, with a new disk. What is left of it runs on for a while. */
  #replace(host: SimHost): void {
    const { schedule, prng, count } = this.#world;
    count("hosts replaced");
    host.retired = true;
    schedule.after(prng.between(1000, 10_000), () => host.crash(false));
    schedule.after(prng.between(500, 3000), () => this.#bring());
  }
}
