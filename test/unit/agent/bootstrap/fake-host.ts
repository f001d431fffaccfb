import { addressesOf, type FakeStrangers } from "./fake-strangers.ts";
import type { BootstrapDeps } from "#agent/bootstrap/deps.ts";
import { BootstrapDriver } from "#agent/bootstrap/driver.ts";
import { unrecorded } from "#agent/bootstrap/steps.ts";
import { Sponsor } from "#agent/bootstrap/sponsor.ts";
import type { Contact } from "#agent/bootstrap/contact.ts";
import { joinProofs } from "#agent/credentials/join-proofs.ts";
import { ScryptQueue } from "#agent/credentials/kdf.ts";
import { ScryptPasswords } from "#agent/credentials/passwords.ts";
import { ScramSha256 } from "#agent/credentials/scram.ts";
import type { StoragePaths } from "#agent/ports/inventory.ts";
import type { BackupFile, Backups } from "#agent/ports/backup.ts";
import type { ClusterRuntime, HeldCopy, Registry } from "#agent/ports/registry.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { PeerAddresses, StrangerTransport } from "#agent/ports/transport.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import type { BackupHead } from "#shared/contract/backup.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import type { RegistryState } from "#shared/registry/state.ts";
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
export const proofs = joinProofs();

type RuntimeStep = "found" | "follow" | "copy" | "recover" | "forget";

/** Enters and leaves clusters as the composition root does, as far as bootstrap can see. */
export class FakeRuntime implements ClusterRuntime {
  registry: Registry = inNoCluster();
  /** Called before each step; a test may throw or wait in it. */
  before: (step: RuntimeStep) => Promise<void> | void = () => undefined;
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

  /** What LocalRegistry holds is never on a disk: it is asked itself. */
  async copy(): Promise<HeldCopy | null> {
    await this.#step("copy");
    const identity = await openMemoryStores(this.#disk).identity.cluster();
    return identity === null ? null : { identity, state: decodeState(encodeState(this.registry.state)) };
  }

  async recover(cluster: ClusterIdentity, state: RegistryState): Promise<void> {
    await this.#step("recover");
    await openMemoryStores(this.#disk).identity.saveCluster(cluster);
    const registry = new LocalRegistry();
    // It numbers its commands anew, as another life of the agent.
    Object.assign(registry.state, { ...state, sessions: new Map() });
    this.registry = registry;
  }

  async forget(): Promise<void> {
    await this.#step("forget");
    this.registry = inNoCluster();
    await openMemoryStores(this.#disk).forgetCluster();
  }

  async #step(step: RuntimeStep): Promise<void> {
    await this.before(step);
    this.steps.push(step);
  }
}

/** What a host has before it is in a cluster: nothing, and no leader. */
function inNoCluster(): Registry {
  const registry = new LocalRegistry();
  registry.quorum = false;
  return registry;
}

/** Backups that lie in memory. */
export class FakeBackups implements Backups {
  readonly files = new Map<string, { readonly head: BackupHead; readonly state: RegistryState }>();
  /** When set, nothing can be saved. */
  broken: Error | null = null;

  pack(state: Readonly<RegistryState>, identity: ClusterIdentity): string {
    return `${JSON.stringify(headOf(state, identity))}\n`;
  }

  async save(state: Readonly<RegistryState>, identity: ClusterIdentity): Promise<BackupFile> {
    if (this.broken !== null) throw this.broken;
    const head = headOf(state, identity);
    const path = `/backups/${this.files.size + 1}`;
    this.files.set(path, { head, state: structuredClone(state) });
    return { path, head };
  }

  async read(path: string): Promise<{ head: BackupHead; path: string; state: RegistryState }> {
    const file = this.files.get(path);
    if (file === undefined) throw new AppError("path_error", { path, cause: "ENOENT: no such file" });
    return { ...file, state: structuredClone(file.state), path };
  }
}

function headOf(state: Readonly<RegistryState>, identity: ClusterIdentity): BackupHead {
  return {
    muster_backup: 1,
    cluster_id: identity.clusterId,
    cluster_name: state.cluster?.name ?? "",
    incarnation: identity.incarnation,
    term: state.term,
    index: state.index,
    taken_at_ms: 0,
    host: "fake",
    software_version: SOFTWARE_VERSION,
    bytes: 0,
    sha256: "0".repeat(64),
  };
}

/** A host with everything that bootstrap needs of it: memory for a disk, a clock that stands still, real password work. */
export class FakeHost {
  /** A test that plays a host which made itself a new key changes it, then restarts. */
  peer: string;
  readonly clock: FakeClock;
  readonly disk = new MemoryDisk();
  readonly log = new RecordingLog();
  readonly runtime = new FakeRuntime(this.disk);
  readonly backups = new FakeBackups();
  /** The names of the states that the driver went through. */
  readonly states: string[] = [];
  readonly contacts = new Map<string, FakeHost | PeerAddresses | Error>();
  /** Members that this host sees alive. */
  readonly alive = new Set<string>();
  /** Authorities that addresses had to be proven by. */
  readonly trusted: string[] = [];
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
      proofs,
      backups: this.backups,
      step: unrecorded,
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
  sponsor(options: ConstructorParameters<typeof Sponsor>[1] = {}): Sponsor {
    const { transport, identity, clock, log } = this.deps;
    const { runtime } = this;
    const registry = new Proxy({} as Registry, {
      get: (_target, property: keyof Registry) => {
        const value: unknown = runtime.registry[property];
        return typeof value === "function" ? (value.bind(runtime.registry) as unknown) : value;
      },
    });
    const isMember = (): boolean => this.driver.state.name === "completed";
    const sponsor = new Sponsor(
      {
        self: this.peer,
        transport,
        registry,
        identity,
        scram,
        proofs,
        clock,
        log,
        isMember,
        isAlive: (peer) => this.alive.has(peer),
        answerCopy: () => Promise.reject(new Error("this test asks for no copies")),
      },
      options,
    );
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
    const contact: Contact = async (address, _port, _signal, { trustedCa } = { trustedCa: "" }) => {
      if (trustedCa !== "") this.trusted.push(trustedCa);
      const found = this.contacts.get(address);
      if (found instanceof FakeHost) return addressesOf(found.peer);
      if (found === undefined) throw new Error("the connection was refused");
      if (found instanceof Error) throw found;
      return found;
    };
    const driver = new BootstrapDriver(this.deps, { contact });
    driver.onChange(({ name }) => {
      if (this.states.at(-1) !== name) this.states.push(name);
    });
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
