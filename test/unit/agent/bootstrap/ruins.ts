import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { FakeStrangers, addressesOf } from "./fake-strangers.ts";
import { factsOf, hostAddress, passwords, proofs, scram } from "./fake-host.ts";
import { BackupFolder } from "#agent/backup/folder.ts";
import type { BootstrapDriver } from "#agent/bootstrap/driver.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import { buildBootstrap, buildGroup, comeBack, type Group } from "#agent/member.ts";
import type { Validation } from "#agent/ports/bootstrap.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import { RaftCore } from "#shared/consensus/core.ts";
import type { Entry } from "#shared/consensus/messages.ts";
import { Prng } from "#shared/lib/prng.ts";
import { epochMs } from "#shared/lib/time.ts";
import { FakeInventory } from "#test/support/fake-inventory.ts";
import { FakeMesh } from "#test/support/fake-mesh.ts";
import { MemoryDisk, openMemoryStores } from "#test/support/memory-store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeMember, RegistryLog } from "#test/support/registry-log.ts";

export const PASSWORD = "correct horse";
/** So many that no test with fewer than four of them elects a leader by accident. */
const MEMBERS = [1, 2, 3, 4, 5, 6, 7];

/** What a disk has when its host is switched off. */
export interface Left {
  readonly entries: readonly Entry[];
  /** Up to here it is known to be committed. */
  readonly commit: number;
  readonly identity?: Partial<ClusterIdentity>;
}

/**
 * What is left of a cluster: any of its hosts with the real agent's registry and bootstrap on them, over a mesh in memory. Which disks
 * are left, and how far each log goes, is for the test to say.
 */
export class Ruins implements AsyncDisposable {
  readonly clock = new SystemClock();
  readonly mesh = new FakeMesh({ clock: this.clock });
  readonly strangers = new FakeStrangers();
  readonly hosts: Host[] = [];
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  /** A host that is switched on; without `left` it was never in a cluster. */
  async host(n: number, left?: Left): Promise<Host> {
    const host = new Host(this, n);
    this.hosts.push(host);
    if (left !== undefined) await host.hold(left);
    await host.boot();
    return host;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.hosts) await host.kill();
    await Promise.all(this.strangers.busy);
  }
}

export class Host {
  readonly peer: string;
  readonly name: string;
  readonly address: string;
  readonly persistent: string;
  readonly disk = new MemoryDisk();
  readonly log = new RecordingLog();
  readonly backups: BackupFolder;
  readonly inventory: FakeInventory;
  group!: Group;
  bootstrap!: BootstrapDriver;
  #disk: AsyncDisposable | null = null;
  readonly #ruins: Ruins;
  readonly #n: number;

  constructor(ruins: Ruins, n: number) {
    this.#ruins = ruins;
    this.#n = n;
    const { peer, name, addr } = makeMember(n);
    this.peer = peer;
    this.name = name;
    this.address = addr;
    this.persistent = join(ruins.dir, peer, "persist");
    const paths = {
      persistent: this.persistent,
      ephemeral: join(ruins.dir, peer, "tmp"),
      bigstore: null,
    };
    this.inventory = new FakeInventory(factsOf([hostAddress(this.address)]), paths);
    const { inventory, log } = this;
    this.backups = new BackupFolder(
      { inventory, clock: ruins.clock, log },
      { host: name, softwareVersion: "0.1.0" },
    );
  }

  /** Puts on the disk what a member's has. */
  async hold({ entries, commit, identity = {} }: Left): Promise<void> {
    const stores = openMemoryStores(this.disk);
    const term = entries.at(-1)?.term ?? 0;
    await stores.identity.savePeer(this.peer);
    await stores.identity.saveCluster({
      clusterId: "c1",
      incarnation: 1,
      uid: this.#n,
      contacts: [],
      ...identity,
    });
    await stores.log.append({
      truncateFrom: null,
      entries,
      hardState: { term, vote: null, commit },
      sync: true,
    });
    const at = epochMs(0);
    await stores.bootstrap.save({
      name: "completed",
      action: "join_cluster",
      attempt: 1,
      startedAt: at,
      endedAt: at,
    });
  }

  /** Starts the agent; a former life of it is gone. */
  async boot(): Promise<void> {
    const { clock, mesh, strangers, hosts } = this.#ruins;
    const { peer, name, address, log } = this;
    const stores = openMemoryStores(this.disk);
    await mkdir(this.persistent, { recursive: true });
    const { starts } = await stores.identity.host();
    const prng = new Prng(this.#n);
    const listening = [`/ip4/${address}/tcp/9444`];
    const transport = Object.assign(mesh.join(peer), strangers.transportOf(peer, listening));
    const deps = {
      transport,
      stores,
      clock,
      log,
      inventory: this.inventory,
      passwords,
      scram,
      proofs,
      backups: this.backups,
      part: () => log,
      random: () => prng.next(),
      createCore: (...args: ConstructorParameters<typeof RaftCore>) => new RaftCore(...args),
      self: {
        peer,
        uuid: `uuid-${this.#n}`,
        name,
        softwareVersion: "0.1.0",
        apiUrls: [`https://${address}:9443`],
        meshAddrs: listening,
      },
    };
    // Elections take a fraction of the time that a recovery gives them, on a busy machine too.
    this.group = buildGroup(deps, { starts, raft: { tickMs: 20 } });
    this.group.membership.start();
    this.#disk = this.group.replica.watchDisk(stores.disk, { reserveBytes: 1000 });
    this.bootstrap = buildBootstrap(deps, this.group, {
      contact: async (where) => {
        const found = hosts.find((one) => one.address === where && strangers.handlers.has(one.peer));
        if (found === undefined) throw new Error("the connection was refused");
        return addressesOf(found.peer);
      },
    });
    await comeBack(deps, this.group, this.bootstrap);
  }

  /** The process is gone, as by kill -9. */
  async kill(): Promise<void> {
    const { mesh, strangers } = this.#ruins;
    mesh.leave(this.peer);
    strangers.handlers.delete(this.peer);
    await this.bootstrap[Symbol.asyncDispose]();
    await this.#disk?.[Symbol.asyncDispose]();
    await this.group.replica.stop();
    this.group.membership.stop();
    this.group.cluster[Symbol.dispose]();
  }

  get state() {
    return this.group.replica.state;
  }

  get identity(): ClusterIdentity | null {
    return this.disk.durable.cluster;
  }

  /** Recovers, and waits for the end of it. */
  async recover(request: BootstrapRequest): Promise<BootstrapState> {
    const { promise, resolve } = Promise.withResolvers<BootstrapState>();
    const watch = this.bootstrap.onChange((state) => {
      if (state.name === "completed" || state.name === "error") resolve(state);
    });
    await this.bootstrap.start("recover_cluster", request);
    const state = await promise;
    watch[Symbol.dispose]();
    return state;
  }

  rehearse(request: BootstrapRequest): Promise<Validation> {
    return this.bootstrap.validate("recover_cluster", request, AbortSignal.timeout(20_000));
  }
}

/**
 * The log of a cluster of seven with an administrator, a zone and what `more` adds. An entry of a later leader has `term`; everything
 * before it is of term 1.
 */
export async function history(
  more: (log: RegistryLog) => void = () => undefined,
  { term = 1 }: { readonly term?: number } = {},
): Promise<Entry[]> {
  const log = new RegistryLog();
  log.append(
    JSON.stringify({ voters: MEMBERS.map((n) => `peer-${n}`), outgoing: [], learners: [] }),
    "config",
  );
  log.must({
    type: "cluster.create",
    cluster_id: "c1",
    name: "my.cluster",
    member: makeMember(1),
    admin: { name: "admin", verifier: await verifier() },
    rack_aware: false,
  });
  for (const n of MEMBERS) {
    if (n > 1) log.must({ type: "member.add", member: makeMember(n) });
    log.must({ type: "member.activate", peer: `peer-${n}` });
  }
  log.must({ type: "zone.create", name: "zone-1" });
  const common = log.entries.length;
  more(log);
  return log.entries.map((entry, i) => ({ ...entry, term: i < common ? 1 : term }));
}

let derived: ReturnType<typeof passwords.derive> | null = null;

/** The same in all histories: their beginnings are one. */
function verifier(): ReturnType<typeof passwords.derive> {
  derived ??= passwords.derive(PASSWORD);
  return derived;
}
