import os from "node:os";

import type { Clock } from "#agent/ports/clock.ts";
import type { Inventory, StoragePaths } from "#agent/ports/inventory.ts";
import type { Log } from "#agent/ports/log.ts";
import { assert } from "#shared/lib/assert.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";
import type { HostFacts, LiveFacts, StaticFacts } from "#shared/model/hardware.ts";

import { LinuxMachine, type Machine } from "./machine.ts";
import { isNews, RETELL_MS } from "./news.ts";
import { Probe } from "./probe.ts";
import { readCpu } from "./probes/cpu.ts";
import { readMemory } from "./probes/memory.ts";
import { readNetwork, type Network } from "./probes/network.ts";
import { readActivity, readOs } from "./probes/os.ts";
import { StorageProbe } from "./probes/storage.ts";
import { TimeSync } from "./probes/time-sync.ts";
import { readSlowFacts, type SlowFacts } from "./slow-facts.ts";

/** How long the agent's start waits for the first facts. Usually they are there in a few milliseconds. */
const FIRST_FACTS_MS = 250;
const LIVE_PERIOD_MS = 10_000;
const PROBE_DEADLINE_MS = 5000;

interface Deps {
  readonly log: Log;
  readonly clock: Clock;
  /** The machine to look at; the real one unless told otherwise. */
  readonly machine?: Machine;
  /** Reads what takes long; a process of its own unless told otherwise. */
  readonly slow?: () => Promise<SlowFacts>;
}

interface Options {
  readonly paths: StoragePaths;
  readonly livePeriodMs?: number;
  readonly probeDeadlineMs?: number;
}

/** Facts about this host, gathered from /proc, /sys and the system; systeminformation adds what they do not tell. */
export class HostInventory implements Inventory {
  readonly #clock: Clock;
  readonly #livePeriodMs: number;
  readonly #deadlineMs: number;
  readonly #cpu: Probe<StaticFacts["cpu"]>;
  readonly #memory: Probe<{ readonly total: number; readonly free: number }>;
  readonly #os: Probe<StaticFacts["os"]>;
  readonly #activity: Probe<Pick<LiveFacts, "load" | "uptime_s">>;
  readonly #network: Probe<Network>;
  readonly #time: Probe<LiveFacts["clock"]>;
  readonly #slow: Probe<SlowFacts>;
  readonly #storage: StorageProbe;
  readonly #listeners = new Set<(facts: HostFacts) => void>();
  #facts: HostFacts | null = null;
  /** What listeners heard last, and when by the monotonic clock. */
  #told: { readonly facts: HostFacts; readonly atMs: number } | null = null;
  #timer: Disposable | null = null;

  constructor(deps: Deps, options: Options) {
    const machine = deps.machine ?? new LinuxMachine();
    this.#clock = deps.clock;
    this.#livePeriodMs = options.livePeriodMs ?? LIVE_PERIOD_MS;
    this.#deadlineMs = options.probeDeadlineMs ?? PROBE_DEADLINE_MS;
    const probe = <T>(name: string, fallback: T, read: () => Promise<T>): Probe<T> =>
      new Probe(deps, { name, fallback, read, onLate: () => this.#assemble() });
    const time = new TimeSync(machine, () => deps.clock.monotonicMs());
    this.#cpu = probe("cpu", cpuFallback(machine), () => readCpu(machine));
    this.#memory = probe("memory", { total: os.totalmem(), free: os.freemem() }, () => readMemory(machine));
    this.#os = probe("os", osFallback(), () => readOs(machine));
    this.#activity = probe("activity", { load: [0, 0, 0], uptime_s: 0 }, () => readActivity(machine));
    this.#network = probe("network", { addresses: [], bridges: [] }, () => readNetwork(machine));
    this.#time = probe("clock", { synchronized: null, source: null }, () => time.read());
    const nothing = { model: null, physicalCores: null, sockets: null, virtualization: null };
    this.#slow = probe("slow", nothing, deps.slow ?? (() => readSlowFacts(deps.clock, this.#deadlineMs)));
    this.#storage = new StorageProbe({ ...deps, machine }, { paths: options.paths });
  }

  /** Reads what is cheap, then goes on by itself: the slow facts in the background, the live ones every period. */
  async start(): Promise<void> {
    await this.#readCheap(FIRST_FACTS_MS);
    this.#assemble();
    void this.#slow.run(this.#deadlineMs).then(() => this.#assemble());
    void this.#time.run(this.#deadlineMs).then(() => this.#assemble());
    this.#timer = this.#clock.every(this.#livePeriodMs, () => {
      void this.#time.run(this.#deadlineMs);
      void this.#readCheap(this.#deadlineMs).then(() => this.#assemble());
    });
  }

  close(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = null;
    this.#listeners.clear();
  }

  current(): HostFacts {
    assert(this.#facts !== null, "the inventory was started");
    return this.#facts;
  }

  async refresh(): Promise<HostFacts> {
    const deadlineMs = this.#deadlineMs;
    await Promise.all([this.#readCheap(deadlineMs), this.#time.run(deadlineMs), this.#slow.run(deadlineMs)]);
    this.#assemble();
    return this.current();
  }

  onChange(listener: (facts: HostFacts) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  paths(): StoragePaths {
    return this.#storage.paths;
  }

  setPaths(paths: StoragePaths): void {
    this.#storage.paths = paths;
    void this.#measureAnew();
  }

  async #measureAnew(): Promise<void> {
    await this.#storage.run(this.#deadlineMs); // May be a reading of the old folders that was under way.
    await this.#storage.run(this.#deadlineMs);
    this.#assemble();
  }

  async #readCheap(deadlineMs: number): Promise<void> {
    const probes = [this.#cpu, this.#memory, this.#os, this.#activity, this.#network, this.#storage];
    await Promise.all(probes.map((probe) => probe.run(deadlineMs)));
  }

  #assemble(): void {
    const facts: HostFacts = {
      static: this.#static(),
      live: this.#live(),
      stale: this.#staleNames(),
      collected_at_ms: this.#clock.now(),
    };
    this.#facts = facts;
    const atMs = this.#clock.monotonicMs();
    const told = this.#told;
    if (told !== null && atMs - told.atMs < RETELL_MS && !isNews(told.facts, facts)) return;
    this.#told = { facts, atMs };
    for (const listener of this.#listeners) listener(facts);
  }

  #static(): StaticFacts {
    const cpu = this.#cpu.value;
    const slow = this.#slow.value;
    const network = this.#network.value;
    return {
      cpu: {
        ...cpu,
        model: cpu.model ?? slow.model,
        physical_cores: cpu.physical_cores ?? slow.physicalCores,
        sockets: cpu.sockets ?? slow.sockets,
      },
      memory_total: this.#memory.value.total,
      os: { ...this.#os.value, virtualization: slow.virtualization },
      addresses: [...network.addresses],
      bridge_interfaces: [...network.bridges],
      software_version: SOFTWARE_VERSION,
    };
  }

  #live(): LiveFacts {
    return {
      memory_free: this.#memory.value.free,
      ...this.#activity.value,
      storage: this.#storage.value,
      clock: this.#time.value,
    };
  }

  #staleNames(): string[] {
    const probes = [this.#cpu, this.#memory, this.#os, this.#activity, this.#network, this.#time, this.#slow];
    const names = probes.filter((probe) => probe.stale).map((probe) => probe.name);
    return this.#storage.stale ? [...names, "storage"] : names;
  }
}

function cpuFallback(machine: Machine): StaticFacts["cpu"] {
  return {
    cores: machine.cores(),
    logical_cores: machine.cores(),
    physical_cores: null,
    sockets: null,
    numa_nodes: null,
    model: null,
    architecture: machine.architecture(),
  };
}

function osFallback(): StaticFacts["os"] {
  return {
    version: os.type(),
    family: null,
    name: null,
    semantic_version: null,
    kernel: os.release(),
    hostname: os.hostname(),
    virtualization: null,
  };
}
