import type { Process, SimHost } from "./cluster-host.ts";
import type { Schedule } from "./cluster-schedule.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import type { Prng } from "#shared/lib/prng.ts";
import { request } from "#test/unit/agent/bootstrap/fake-host.ts";

/** How long until it is tried again, where nobody could be left alone. Milliseconds. */
const AGAIN_MS = 500;
/** How often, at each look, the operator asks for the recovery. */
const ASKS = 0.3;

interface DisasterWorld {
  readonly prng: Prng;
  readonly schedule: Schedule;
  readonly hosts: readonly SimHost[];
  members(): readonly SimHost[];
  readonly count: (what: string) => void;
  readonly note: (line: string) => void;
}

/** What an operator does about it. */
interface Deeds {
  /** Its disk is lost for good; another host comes in its place. */
  lose(host: SimHost): void;
  /** Goes down, with its disk, and comes back at that time. */
  sendAway(host: SimHost, untilMs: number): void;
  refused(error: unknown): void;
  /** Out of the cluster by its own log. */
  isRemoved(host: SimHost): boolean;
}

/**
 * The disks of a majority are lost for good, once in a run. The operator recovers the cluster on a host that has a copy left, from
 * that or from the best that others have; some of those come back later, and live in the past.
 */
export class Disaster {
  readonly #world: DisasterWorld;
  readonly #deeds: Deeds;
  #chosen: SimHost | null = null;
  #nodes: readonly string[] = [];
  #over = false;

  constructor(world: DisasterWorld, deeds: Deeds) {
    this.#world = world;
    this.#deeds = deeds;
  }

  /** Whether it has happened and the cluster is not back yet. */
  get lasts(): boolean {
    return this.#chosen !== null && !this.#over;
  }

  /** Strikes at that time, or as soon as somebody can be left alone. `calm`: from then on never. */
  await(atMs: number, calm: () => boolean): void {
    const { schedule } = this.#world;
    schedule.after(atMs, () => {
      if (!calm() && !this.#strike()) this.await(AGAIN_MS, calm);
    });
  }

  /** What the operator does with a member meanwhile. */
  tend(host: SimHost, process: Process): void {
    if (host !== this.#chosen || this.#over) return;
    const { prng, count, note } = this.#world;
    if ((process.cluster.identity?.incarnation ?? 1) > 1) {
      this.#over = true;
      count("recoveries done");
      note(`${host.peer} has recovered the cluster`);
      return;
    }
    if (!prng.chance(ASKS)) return;
    count("recoveries begun");
    const failed = recoveryOf(process.bootstrap.state);
    if (failed !== null) count(`recoveries broken off: ${failed}`);
    process.bootstrap
      .start("recover_cluster", request({ nodes: this.#nodes }))
      .catch((error: unknown) => this.#deeds.refused(error));
  }

  /**
   * Whether a host lives in the past for good: nobody who could tell it is a member by its own registry, which ended before they
   * came (ADR 9, consequences). Its operator has to clear it.
   */
  cannotBeTold(process: Process): boolean {
    const incarnationOf = (of: Process | null): number => of?.cluster.identity?.incarnation ?? 1;
    const own = incarnationOf(process);
    const later = this.#world.members().filter((host) => incarnationOf(host.process) > own);
    const { members } = process.replica.state;
    return this.#over && later.length > 0 && !later.some(({ peer }) => members.has(peer));
  }

  #strike(): boolean {
    const { prng, schedule, hosts, count, note } = this.#world;
    const members = this.#world.members().filter((host) => !this.#deeds.isRemoved(host));
    const left = drawSurvivors(members, prng);
    const [chosen, ...others] = left;
    if (chosen === undefined) return false;
    count("disasters");
    note(`only ${left.map(({ peer }) => peer).join()} are left`);
    this.#chosen = chosen;
    this.#nodes = prng.chance(0.7) ? others.map(({ address }) => address) : [];
    for (const host of hosts) {
      if (!host.retired && !left.includes(host) && !isOutside(host.process)) this.#deeds.lose(host);
    }
    for (const host of others) {
      if (!prng.chance(0.5)) continue;
      count("stragglers");
      this.#deeds.sendAway(host, schedule.nowMs + prng.between(2000, 10_000));
    }
    return true;
  }
}

/** Somebody always, and as many more as can never be a majority again; nobody when nobody can be left alone. */
function drawSurvivors(members: readonly SimHost[], prng: Prng): readonly SimHost[] {
  const left: SimHost[] = [];
  for (const host of prng.shuffle(members)) {
    if (left.length > 0 && prng.chance(0.2)) continue;
    if (canNeverCommit([...left, host])) left.push(host);
  }
  return left;
}

/** Of each configuration that one of them could still act on, some set of voters has no majority among them. */
function canNeverCommit(survivors: readonly SimHost[]): boolean {
  const peers = new Set(survivors.map(({ peer }) => peer));
  return survivors.every(({ process }) => {
    if (process === null || process.replica.state.cluster === null) return false;
    const { voters, outgoing } = process.replica.status().config;
    return [voters, outgoing].some((set) => {
      const there = set.filter((peer) => peers.has(peer)).length;
      return set.length > 0 && 2 * there <= set.length;
    });
  });
}

/** It is not in the cluster yet: what happens to that does not concern it. */
function isOutside(process: Process | null): boolean {
  return process !== null && process.bootstrap.state.name !== "completed";
}

function recoveryOf(state: BootstrapState): string | null {
  return state.name === "completed" ? (state.recovery?.failure.code ?? null) : null;
}
