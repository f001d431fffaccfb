import { addressesOf, type FakeStrangers } from "./fake-strangers.ts";
import type { BootstrapDeps } from "#agent/bootstrap/deps.ts";
import { BootstrapDriver } from "#agent/bootstrap/driver.ts";
import { Sponsor } from "#agent/bootstrap/sponsor.ts";
import type { Contact } from "#agent/bootstrap/contact.ts";
import { ScryptQueue } from "#agent/credentials/kdf.ts";
import { ScryptPasswords } from "#agent/credentials/passwords.ts";
import { ScramSha256 } from "#agent/credentials/scram.ts";
import type { StoragePaths } from "#agent/ports/inventory.ts";
import type { ClusterRuntime, Registry } from "#agent/ports/registry.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { StrangerTransport } from "#agent/ports/transport.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import type { HostAddress, HostFacts } from "#shared/model/hardware.ts";
import { makeFacts } from "#test/support/builders.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeInventory } from "#test/support/fake-inventory.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";
import { MemoryDisk, openMemoryStores } from "#test/support/memory-store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

/** The only voter that LocalRegistry knows. */
export const FOUNDER = "12D3KooWLocal";
const N = 1024;

const kdf = new ScryptQueue();
export const passwords = new ScryptPasswords({ kdf }, { n: N });
export const scram = new ScramSha256({ kdf }, { nMin: N });

/** Enters and leaves clusters as the composition root does, as far as bootstrap can see. */
export class FakeRuntime implements ClusterRuntime {
  registry: Registry = new LocalRegistry();
  /** Called before each step; a test may throw or wait in it. */
  before: (step: "found" | "follow" | "forget") => Promise<void> | void = () => undefined;
  /** What a follower gets to see: the registry of whom it follows. */
  follows: Registry | null = null;
  readonly steps: string[] = [];
  readonly #disk: MemoryDisk;

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
  }

  async found(cluster: ClusterIdentity): Promise<void> {
    await this.#step("found");
    this.registry = new LocalRegistry();
    await openMemoryStores(this.#disk).identity.saveCluster(cluster);
  }

  async follow(cluster: ClusterIdentity): Promise<void> {
    await this.#step("follow");
    if (this.follows === null) throw new Error("the test has not said whom this host follows");
    this.registry = this.follows;
    await openMemoryStores(this.#disk).identity.saveCluster(cluster);
  }

  async forget(): Promise<void> {
    await this.#step("forget");
    this.registry = new LocalRegistry();
    await openMemoryStores(this.#disk).forgetCluster();
  }

  async #step(step: "found" | "follow" | "forget"): Promise<void> {
    await this.before(step);
    this.steps.push(step);
  }
}

/** A host with everything that bootstrap needs of it: memory for a disk, a clock that stands still, real password work. */
export class FakeHost {
  /** A test that plays a host which made itself a new key changes it, then restarts. */
  peer: string;
  readonly clock: FakeClock;
  readonly disk = new MemoryDisk();
  readonly log = new RecordingLog();
  readonly runtime = new FakeRuntime(this.disk);
  readonly states: string[] = [];
  readonly contacts = new Map<string, FakeHost | Error>();
  listening: string[];
  readonly inventory: FakeInventory;
  transport: StrangerTransport;
  driver: BootstrapDriver;

  constructor(options: {
    peer: string;
    strangers: FakeStrangers;
    dir: string;
    clock?: FakeClock;
    address?: string;
  }) {
    this.peer = options.peer;
    this.clock = options.clock ?? new FakeClock();
    const address = options.address ?? "10.0.0.1";
    this.listening = [`/ip4/${address}/tcp/9444`];
    const { dir } = options;
    const paths = { persistent: `${dir}/persist`, ephemeral: `${dir}/tmp`, bigstore: null };
    this.inventory = new FakeInventory(factsOf([hostAddress(address)]), paths);
    this.transport = options.strangers.transportOf(this.peer, this.listening);
    this.driver = this.#boot();
  }

  get paths(): StoragePaths {
    return this.inventory.paths();
  }

  set paths(paths: StoragePaths) {
    this.inventory.setPaths(paths);
  }

  set addresses(addresses: HostAddress[]) {
    this.inventory.facts = factsOf(addresses);
  }

  get deps(): BootstrapDeps {
    const stores = openMemoryStores(this.disk);
    return {
      store: stores.bootstrap,
      identity: stores.identity,
      runtime: this.runtime,
      transport: this.transport,
      inventory: this.inventory,
      passwords,
      scram,
      clock: this.clock,
      log: this.log,
      host: { peer: this.peer, uuid: `uuid-of-${this.peer}`, name: `host-${this.peer.slice(-6)}` },
      apiUrls: () => [`https://${this.peer}:9443`],
    };
  }

  /** The process is gone (kill -9); what was on disk stays. The next life reads it. */
  async restart(): Promise<BootstrapState> {
    this.driver = this.#boot();
    return this.driver.resume();
  }

  /** Lets others join here. */
  sponsor(): Sponsor {
    const { transport, identity, clock, log } = this.deps;
    const { runtime } = this;
    const registry = new Proxy({} as Registry, {
      get: (_target, property: keyof Registry) => {
        const value: unknown = runtime.registry[property];
        return typeof value === "function" ? (value.bind(runtime.registry) as unknown) : value;
      },
    });
    const isMember = (): boolean => this.driver.state.name === "completed";
    const sponsor = new Sponsor({
      self: this.peer,
      transport,
      registry,
      identity,
      scram,
      clock,
      log,
      isMember,
    });
    sponsor.start();
    return sponsor;
  }

  /** Waits for the attempt under way to be over. */
  async settled(): Promise<BootstrapState> {
    const over = (state: BootstrapState): boolean => state.name === "error" || state.name === "completed";
    if (over(this.driver.state)) return this.driver.state;
    return new Promise((resolve) => {
      const watch = this.driver.onChange((state) => {
        if (!over(state)) return;
        watch[Symbol.dispose]();
        resolve(state);
      });
    });
  }

  #boot(): BootstrapDriver {
    const contact: Contact = async (address) => {
      const found = this.contacts.get(address);
      if (found instanceof FakeHost) return addressesOf(found.peer);
      throw found ?? new Error("the connection was refused");
    };
    const driver = new BootstrapDriver(this.deps, { contact });
    driver.onChange(({ name }) => void this.states.push(name));
    return driver;
  }
}

/** A request as the dialect makes it of the seed's smallest body. */
export function request(more: Partial<BootstrapRequest> = {}): BootstrapRequest {
  return {
    nodes: [],
    apiPort: 9443,
    credentials: { username: "admin", password: "correct horse" },
    identity: { externalAddrs: [] },
    paths: {},
    limits: {},
    bigstore: {},
    policy: {},
    dnsSuffixes: [],
    rackAware: false,
    maxRetries: 0,
    retryTimeS: 0,
    ...more,
  };
}

export function hostAddress(address: string, more: Partial<HostAddress> = {}): HostAddress {
  return {
    address,
    format: address.includes(":") ? "ipv6" : "ipv4",
    if_name: "eth0",
    private: true,
    prefix_length: 24,
    mac: null,
    speed_mbps: null,
    bridge: false,
    ...more,
  };
}

export function factsOf(addresses: HostAddress[]): HostFacts {
  return makeFacts({ static: { addresses } });
}
