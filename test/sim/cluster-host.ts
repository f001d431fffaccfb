import { SimCredentials } from "./cluster-credentials.ts";
import { SimDisk } from "./cluster-disk.ts";
import { Life, LifeClock, type Boundary, type HostTime } from "./cluster-life.ts";
import type { SimNet } from "./cluster-net.ts";
import type { ClusterOracle } from "./cluster-oracle.ts";
import type { Schedule } from "./cluster-schedule.ts";
import type { Strangers } from "./cluster-strangers.ts";
import { SimTransport } from "./cluster-transport.ts";
import { watchCore } from "./cluster-watch.ts";
import { NoClusterYet, type Contact } from "#agent/bootstrap/contact.ts";
import type { BootstrapDriver } from "#agent/bootstrap/driver.ts";
import type { Departure } from "#agent/bootstrap/departure.ts";
import { joinProofs } from "#agent/credentials/join-proofs.ts";
import {
  buildBootstrap,
  buildDeparture,
  buildGroup,
  comeBack,
  speakForItself,
  type Group,
} from "#agent/member.ts";
import { WriteFailed, type ClusterIdentity, type Stores } from "#agent/ports/store.ts";
import type { ReplicaOptions } from "#agent/registry/options.ts";
import { RaftCore } from "#shared/consensus/core.ts";
import type { Prng } from "#shared/lib/prng.ts";
import { FakeInventory } from "#test/support/fake-inventory.ts";
import { FakeBackups, factsOf, hostAddress } from "#test/unit/agent/bootstrap/fake-host.ts";
import { SilentLog } from "./cluster-log.ts";

/** Longest a graceful stop may take before it is ended by force. Milliseconds. */
const STOP_MS_MAX = 5000;
/** Longest a leader may take to hand over on stopping, as in agent/agent.ts. */
const HAND_OVER_MS_MAX = 1500;

/** What a host needs of its world. */
export interface HostWorld {
  readonly schedule: Schedule;
  readonly prng: Prng;
  readonly net: SimNet;
  readonly strangers: Strangers;
  readonly raft: Partial<ReplicaOptions>;
  /** Of this life of a cluster. */
  oracleOf(identity: ClusterIdentity | null): ClusterOracle;
  /** A host is about to write down that it carries the cluster on from a copy. */
  recovers(host: SimHost, recovered: Parameters<Stores["recover"]>[0]): void;
  newClusterId(): string;
  /** Whether the process dies at this point; the world has ended it then. */
  mayDie(host: SimHost, at: Boundary): boolean;
  /** Who answers at an API address. */
  hostAt(address: string): SimHost | null;
  readonly count: (what: string) => void;
  readonly note: (line: string) => void;
  readonly defect: (error: unknown) => void;
}

/** One run of the agent on a host. */
export interface Process extends Group {
  readonly life: Life;
  readonly clock: LifeClock;
  readonly bootstrap: BootstrapDriver;
  readonly departure: Departure;
  readonly starts: number;
  /** Highest index that a default read of this process has shown. */
  shown: number;
  /** Since when it says that it stands still. */
  haltedSinceMs: number | null;
}

/** A host with a disk, a clock and an address, and the real agent on it, or nothing. */
export class SimHost {
  readonly peer: string;
  readonly uuid: string;
  readonly name: string;
  readonly address: string;
  readonly disk: SimDisk;
  /** What it has saved beside its store. */
  readonly backups = new FakeBackups();
  readonly time: HostTime;
  /** The life that runs or boots now; null while the host is down. */
  life: Life | null = null;
  /** The agent, once it is up. */
  process: Process | null = null;
  /** Since when nothing runs here. */
  downSinceMs: number | null = 0;
  /** Out of the cluster for good: removed, and taken away. */
  retired = false;
  readonly #world: HostWorld;
  #stopping: (() => Promise<void>) | null = null;

  constructor(world: HostWorld, n: number, drift: number) {
    this.#world = world;
    this.peer = `peer-${n}`;
    this.uuid = `uuid-${n}`;
    this.name = `host-${this.peer}`;
    this.address = `10.0.0.${n}`;
    this.disk = new SimDisk(world, { uuid: this.uuid });
    this.time = { rate: 1 + (world.prng.next() * 2 - 1) * drift, wallOffsetMs: 0 };
  }

  /** Starts the agent. What it agreed to in a former life goes on. */
  boot(): void {
    const { schedule } = this.#world;
    const life = new Life({ schedule, mayDie: (at) => this.#world.mayDie(this, at) });
    this.life = life;
    this.downSinceMs = null;
    this.#boot(life).catch((error: unknown) => {
      if (!life.alive) return;
      this.#world.note(`${this.peer} does not start: ${String(error)}`);
      if (!(error instanceof WriteFailed)) this.#world.defect(error);
      this.crash(false);
    });
  }

  async #boot(life: Life): Promise<void> {
    const world = this.#world;
    const { schedule, net, strangers, prng } = world;
    const clock = new LifeClock({ schedule, life, time: this.time });
    const opened = this.disk.open(life);
    const stores: typeof opened = {
      ...opened,
      recover: (recovered) => {
        try {
          world.recovers(this, recovered);
        } catch (error) {
          world.defect(error); // To the agent it would be a recovery that failed, to be tried again.
        }
        return opened.recover(recovered);
      },
    };
    const { uuid, starts } = await stores.identity.host();
    const { peer, address, name, backups } = this;
    const transport = new SimTransport({ net, strangers, life, clock }, { self: peer, address });
    const credentials = new SimCredentials();
    const inventory = new FakeInventory(factsOf([hostAddress(address)]));
    const part = (): SilentLog => new SilentLog();
    let takesPart = 0;
    const deps = {
      transport,
      stores,
      clock,
      inventory,
      part,
      passwords: credentials,
      scram: credentials,
      proofs: joinProofs(),
      backups,
      random: () => prng.next(),
      packing: {
        pack: (body: Uint8Array) => Promise.resolve(body),
        unpack: (packed: Uint8Array) => Promise.resolve(packed),
      },
      checkFolder: async () => {
        await clock.sleep(1);
        return { totalBytes: null };
      },
      newClusterId: () => world.newClusterId(),
      createCore: (...args: ConstructorParameters<typeof RaftCore>) => {
        takesPart += 1;
        return watchCore(new RaftCore(...args), args[1], {
          oracle: world.oracleOf(group.cluster.identity),
          who: `${peer}/${starts}/${takesPart}`,
          alive: () => life.alive,
          count: (what) => world.count(what),
        });
      },
      self: {
        peer,
        uuid,
        name,
        softwareVersion: "0.1.0",
        apiUrls: [`https://${address}:9443`],
        get meshAddrs() {
          return transport.listenAddrs();
        },
      },
    };
    const stack = new AsyncDisposableStack();
    const group: Group = buildGroup(deps, { starts, raft: world.raft });
    stack.use(group.cluster);
    net.attach(transport);
    group.membership.start();
    stack.defer(() => group.membership.stop());
    stack.defer(() => group.replica.stop());
    stack.use(group.replica.watchDisk(stores.disk, { reserveBytes: 1000 }));
    const bootstrap = stack.use(buildBootstrap(deps, group, { contact: this.#contact(life) }));
    bootstrap.onChange(({ name }) => {
      const { members, tombstones } = group.replica.state;
      // Whoever says that it has joined holds the registry up to there. A member that starts reads it after this.
      const started = this.process?.life === life;
      if (started && life.alive && name === "completed" && !members.has(peer) && !tombstones.has(peer)) {
        world.defect(new Error(`broken: ${peer} calls itself a member and does not hold the registry`));
      }
    });
    await comeBack(deps, group, bootstrap);
    const departure = buildDeparture(deps, group, bootstrap);
    stack.use(speakForItself({ ...deps, departure }, group, bootstrap));
    stack.defer(() => group.replica.handOver(HAND_OVER_MS_MAX));
    this.process = { ...group, life, clock, bootstrap, departure, starts, shown: 0, haltedSinceMs: null };
    this.#stopping = () => stack.disposeAsync();
    world.note(`${peer} is up, start ${starts}, ${bootstrap.state.name}`);
  }

  /** The process is gone at once, here and now. */
  crash(powerCut: boolean): void {
    if (this.life === null) return;
    this.#world.note(`${this.peer} ${powerCut ? "loses power" : "is killed"}`);
    this.life.end();
    this.disk.crash(powerCut);
    this.life = null;
    this.process = null;
    this.#stopping = null;
    this.downSinceMs = this.#world.schedule.nowMs;
  }

  /** Stops as systemd would ask it to: hands over, finishes, and is ended by force when it takes too long. */
  stop(): void {
    const { life } = this;
    const stopping = this.#stopping;
    if (life === null || stopping === null) return;
    this.#world.note(`${this.peer} stops`);
    this.process = null;
    this.#stopping = null;
    const end = (): void => {
      if (this.life === life) this.crash(false);
    };
    this.#world.schedule.after(STOP_MS_MAX, end);
    stopping().then(end, (error: unknown) => this.#world.defect(error));
  }

  /** How the agent on this host asks an API address who is there. */
  #contact(life: Life): Contact {
    return (address) =>
      new Promise((resolve, reject) => {
        if (life.dies("join")) return;
        const { net } = this.#world;
        const other = this.#world.hostAt(address);
        const there = other === null ? null : net.travel(this.peer, other.peer);
        const back = other === null ? null : net.travel(other.peer, this.peer);
        life.after((there ?? 500) + (back ?? 500), () => {
          const { bootstrap, cluster } = other?.process ?? {};
          if (other === null || bootstrap === undefined || there === null || back === null) {
            reject(new Error("no answer"));
          } else if (bootstrap.state.name !== "completed" || cluster?.identity === null) {
            reject(new NoClusterYet("the agent there is not in a cluster", other.peer));
          } else {
            resolve({ peer: other.peer, meshAddrs: [`/ip4/${other.address}/tcp/9444`] });
          }
        });
      });
  }
}
