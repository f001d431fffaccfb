import type { ClusterOracle } from "./cluster-oracle.ts";
import type { Process, SimHost } from "./cluster-host.ts";
import type { Schedule } from "./cluster-schedule.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { Prng } from "#shared/lib/prng.ts";
import type { Command } from "#shared/registry/command.ts";

const WRITE_MS = 2500;
const READ_MS = 2000;
/** When a client that has heard nothing asks somebody else. Milliseconds. */
const IMPATIENT_MS = 4000;

/** What clients need of their world. */
interface ClientWorld {
  readonly schedule: Schedule;
  readonly prng: Prng;
  /** Of the cluster's newest life, and of the one that an agent is in. */
  readonly oracle: ClusterOracle;
  oracleOf(identity: ClusterIdentity | null): ClusterOracle;
  /** A write is tried (again): nobody knows how it goes, in whatever life of the cluster. */
  begun(operation: string): void;
  /** Hosts of the cluster on which an agent runs. */
  members(): readonly SimHost[];
  readonly count: (what: string) => void;
  readonly note: (line: string) => void;
  readonly defect: (error: unknown) => void;
}

/** One write, tried at one host after the other until somebody knows how it went. */
interface Operation {
  readonly name: string;
  readonly command: Command;
  readonly key: string | undefined;
  tries: number;
  /** Some try of it may have been done. */
  exposed: boolean;
  over: boolean;
}

/** Callers at all agents. They remember what they were told, and ask again where they were told nothing. */
export class Clients {
  readonly #world: ClientWorld;
  #operations = 0;

  constructor(world: ClientWorld) {
    this.#world = world;
  }

  /** Some write at some agent. */
  write(): void {
    const host = this.#someone();
    if (host !== null) this.order(host, this.#command());
  }

  /** This write at this agent; elsewhere, too, when it has a key and nothing is heard of it. Tells whether it was done. */
  order(host: SimHost, command: Command): { readonly done: () => boolean } {
    const { prng } = this.#world;
    this.#operations += 1;
    const name = `op-${this.#operations}`;
    const key = prng.chance(0.4) ? `key-${this.#operations}` : undefined;
    const operation: Operation = { name, command, key, tries: 0, exposed: false, over: false };
    this.#world.begun(name);
    this.#try(host, operation);
    return { done: () => operation.over };
  }

  async read(): Promise<void> {
    const { prng, count, defect } = this.#world;
    const host = this.#someone();
    const process = host?.process ?? null;
    if (host === null || process === null) return;
    const { replica } = process;
    const { identity } = process.cluster;
    const oracle = this.#world.oracleOf(identity);
    const before = oracle.acknowledged;
    const linearizable = prng.chance(0.5);
    try {
      if (linearizable) await replica.readBarrier({ timeoutMs: READ_MS });
      else await replica.waitForIndex(before, { timeoutMs: READ_MS });
      // It stops, or was removed: it answers nobody any more.
      if (host.process !== process || process.cluster.identity !== identity) return;
      const { index } = replica.state;
      count(linearizable ? "linearizable reads" : "reads from an index on");
      if (linearizable) oracle.linearizable(host.peer, index, before);
      else oracle.reached(host.peer, index, before);
    } catch (error) {
      if (error instanceof AppError) count(`reads: ${error.kind}`);
      else defect(error);
    }
  }

  /** What a default read would show now. */
  glance({ peer, process }: SimHost): void {
    if (process === null) return;
    const { index } = process.replica.state;
    const member = process.bootstrap.state.name === "completed";
    if (member && index < process.shown) {
      this.#world.defect(new Error(`broken: ${peer} showed ${process.shown}, and now ${index}`));
    }
    process.shown = member ? index : 0;
  }

  #try(host: SimHost, operation: Operation): void {
    const { process } = host;
    if (process === null) return;
    operation.tries += 1;
    let answered = false;
    void this.#attempt(process, operation).finally(() => (answered = true));
    this.#world.schedule.after(IMPATIENT_MS, () => {
      if (answered || operation.over) return;
      operation.exposed = true;
      this.#again(operation);
    });
  }

  /** Never rejects. Never settles either, when the agent dies. */
  async #attempt(process: Process, operation: Operation): Promise<void> {
    const { count, defect } = this.#world;
    const { name, command, key } = operation;
    // What it is told holds in the life of the cluster in which it asked.
    const oracle = this.#world.oracleOf(process.cluster.identity);
    const options = { by: name, timeoutMs: WRITE_MS, ...(key === undefined ? {} : { key }) };
    try {
      const { index, result } = await process.replica.submit(command, options);
      if (!result.ok && result.refusal.kind === "request_expired") {
        operation.exposed = true;
        return;
      }
      operation.over = true;
      count(result.ok ? `done: ${command.type}` : `refused: ${result.refusal.kind}`);
      oracle.told(name, {
        index,
        outcome: result.ok ? { value: result.value } : { refused: result.refusal.kind },
      });
    } catch (error) {
      if (!process.life.alive) return;
      if (!(error instanceof AppError)) {
        defect(error);
        return;
      }
      count(`writes: ${error.kind}`);
      if (error.kind === "outcome_unknown") operation.exposed = true;
      else if (!operation.exposed && !operation.over) oracle.told(name, "refused");
      this.#again(operation);
    }
  }

  /** With a key a repetition is harmless, wherever. */
  #again(operation: Operation): void {
    const { schedule, prng } = this.#world;
    if (operation.key === undefined || operation.over || operation.tries >= 4) return;
    schedule.after(prng.between(20, 500), () => {
      const host = this.#someone();
      if (host === null || operation.over) return;
      this.#world.begun(operation.name);
      this.#try(host, operation);
    });
  }

  #someone(): SimHost | null {
    const members = this.#world.members();
    return members.length === 0 ? null : this.#world.prng.pick(members);
  }

  #command(): Command {
    const { prng, oracle } = this.#world;
    const { zones, hosts, zoneIds } = oracle.rules;
    const uuid = `uuid-${prng.between(1, hosts.length + 1)}`;
    const zone = zones.length > 0 && prng.chance(0.8) ? prng.pick(zones).id : prng.below(zoneIds + 3);
    const name = prng.chance(0.7) ? `zone ${this.#operations}` : `zone ${prng.below(6)}`;
    return prng.pick<() => Command>([
      () => ({ type: "zone.create", name }),
      () => ({ type: "zone.create", name }),
      () => ({ type: "zone.rename", id: zone, name }),
      () => ({ type: "zone.delete", id: zone }),
      () => ({ type: "node.register", uuid, zone_id: zone, uri: `u:${this.#operations}`, cfg: { a: 1 } }),
      () => ({ type: "node.update", uuid, zone_id: zone }),
      () => ({ type: "node.unregister", uuid }),
    ])();
  }
}
