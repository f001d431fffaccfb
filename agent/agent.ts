import { join } from "node:path";

import { ensureCertificate } from "#agent/api/certificate.ts";
import { Listeners } from "#agent/api/listeners.ts";
import type { AgentInfo, Commands, Queries, WriteContext } from "#agent/api/ports.ts";
import { createServer } from "#agent/api/server.ts";
import { BackupFolder } from "#agent/backup/folder.ts";
import { BackupKeeper } from "#agent/backup/keeper.ts";
import type { Departure } from "#agent/bootstrap/departure.ts";
import type { BootstrapDriver } from "#agent/bootstrap/driver.ts";
import { issueToken } from "#agent/bootstrap/issue-token.ts";
import { makeFolder } from "#agent/bootstrap/make-folder.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import { hostInUrl, type SocketAddress } from "#agent/config/address.ts";
import type { Config } from "#agent/config/decide.ts";
import { socketDirectory } from "#agent/config/socket-directory.ts";
import { joinProofs } from "#agent/credentials/join-proofs.ts";
import { ScryptQueue } from "#agent/credentials/kdf.ts";
import { ScryptPasswords } from "#agent/credentials/passwords.ts";
import { ScramSha256 } from "#agent/credentials/scram.ts";
import { HostInventory } from "#agent/inventory/collect.ts";
import {
  buildBootstrap,
  buildDeparture,
  buildGroup,
  comeBack,
  speakForItself,
  type MemberDeps,
} from "#agent/member.ts";
import { AgentMetrics } from "#agent/metrics/agent-metrics.ts";
import { loadIdentity } from "#agent/mesh/identity.ts";
import { Mesh } from "#agent/mesh/mesh.ts";
import type { TokenSecrets } from "#agent/ports/credentials.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Replica } from "#agent/registry/replica.ts";
import { openStores } from "#agent/store/open.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import { RaftCore } from "#shared/consensus/core.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";

/** Longest a leader may take to hand over before it stops all the same. Milliseconds. */
const HAND_OVER_MS_MAX = 1500;
/** Longest running requests may take once the agent stops. Milliseconds. */
const REQUESTS_MS_MAX = 2000;
/** A joiner proves its password to no sponsor that asks for a cheaper hash (RFC 7914); a test's configuration may go lower. */
const SCRYPT_N_MIN = 16_384;

/** An agent at work. */
export interface RunningAgent {
  /** Where its REST API answers. */
  readonly urls: readonly string[];
  /** Resolves when this host is out of its cluster for good: stopped and started anew it has another identity. */
  readonly outgrown: Promise<void>;
  /** False when it ought to be restarted: what the watchdog asks. */
  healthy(): boolean;
  /** Stops in order: leadership handed over, requests finished, mesh left, store closed. Called once. */
  stop(): Promise<void>;
}

/** What every part is built with. Whatever is put on the stack is closed in reverse order. */
interface Base {
  readonly config: Config;
  readonly clock: SystemClock;
  readonly stack: AsyncDisposableStack;
  /** The log of one part of the agent. */
  readonly part: (name: string) => Log;
}

/**
 * Builds one agent and everything in it, in order; the only place that knows all parts. Whatever was started is stopped
 * again, in reverse order, when a later step fails or when the agent stops. Rejects with AppError or StoreDamaged for what
 * an operator can mend.
 */
export async function startAgent(config: Config, { log }: { readonly log: Log }): Promise<RunningAgent> {
  await using stack = new AsyncDisposableStack();
  const base: Base = { config, clock: new SystemClock(), stack, part: (name) => log.child({ part: name }) };

  const host = await openHost(base);
  const group = await startGroup(base, host);
  const api = await buildApi(base, host, group);

  // What a former life agreed to goes on before anybody can ask.
  await comeBack(host, group, api.bootstrap);
  await api.listeners.start();
  stack.defer(() => api.listeners.close(REQUESTS_MS_MAX));

  const { self, departure } = api;
  keepBackups(base, group, api);
  stack.use(
    speakForItself(
      { ...group.deps, ...socketsOf(config), inventory: host.inventory, self, departure },
      group,
      api.bootstrap,
    ),
  );
  stack.defer(() => group.replica.handOver(HAND_OVER_MS_MAX));

  const running = stack.move();
  return {
    urls: self.apiUrls,
    outgrown: untilRetired(api.bootstrap, self.peer),
    healthy: () => !running.disposed && group.replica.healthy(),
    stop: () => running.disposeAsync(),
  };
}

/** This host by itself: its folders, what it stores, who it is, what it has. */
async function openHost({ config, clock, stack, part }: Base) {
  await ensureFolder(config.dataDir, 0o700);
  for (const path of [config.paths.persistent, config.paths.ephemeral, config.paths.bigstore]) {
    if (path !== null) await ensureFolder(path, 0o750);
  }
  const stores = stack.use(await openStores(join(config.dataDir, "store"), { log: part("store") }));
  const inventory = new HostInventory({ log: part("inventory"), clock }, { paths: config.paths });
  await inventory.start();
  stack.defer(() => inventory.close());
  const owner = await stores.identity.peer();
  const retired = retiredPeer(await stores.bootstrap.load());
  const key = await loadIdentity(config.dataDir, { owner, retired });
  if (owner !== key.peerId) await stores.identity.savePeer(key.peerId, retired);
  return { stores, inventory, key, ...(await stores.identity.host()) };
}

type Host = Awaited<ReturnType<typeof openHost>>;

/** The host among others: mesh, membership, and the registry they share. In no cluster until something enters one. */
async function startGroup({ config, clock, stack, part }: Base, { key, stores, starts }: Host) {
  const mesh = new Mesh(
    { log: part("mesh"), clock, identity: key },
    {
      listen: config.mesh.listen.map(socketText),
      advertise: config.mesh.advertise.map(socketText),
      seeds: config.mesh.seeds,
      beacon: config.mesh.beacon,
      software: SOFTWARE_VERSION,
    },
  );
  const deps: MemberDeps = {
    transport: mesh,
    stores,
    clock,
    random: () => Math.random(),
    createCore: (options, start) => new RaftCore(options, start),
    part,
  };
  const group = buildGroup(deps, { starts, raft: config.raft });
  stack.use(group.cluster);
  await mesh.start();
  stack.defer(() => mesh.close());
  group.membership.start();
  stack.defer(() => group.membership.stop());
  stack.defer(() => group.replica.stop());
  stack.use(group.replica.watchDisk(stores.disk, config.disk));
  return { ...group, mesh, deps };
}

type Group = Awaited<ReturnType<typeof startGroup>>;

/** What callers reach: bootstrap, the door for joiners, and the REST API. Nothing listens yet. */
async function buildApi({ config, clock, stack, part }: Base, host: Host, group: Group) {
  const { mesh, membership, replica, cluster } = group;
  const { inventory, uuid } = host;
  const self: AgentInfo = {
    peer: mesh.self,
    uuid,
    name: config.name,
    softwareVersion: SOFTWARE_VERSION,
    get apiUrls() {
      return config.api.advertise.length > 0 ? config.api.advertise : listeners.urls;
    },
    get meshAddrs() {
      return mesh.listenAddrs();
    },
  };
  const kdf = new ScryptQueue();
  const { scryptN } = config.password;
  const passwords = new ScryptPasswords({ kdf }, { n: scryptN });
  const scram = new ScramSha256({ kdf }, { nMin: Math.min(scryptN, SCRYPT_N_MIN) });
  const proofs = joinProofs();
  const backups = new BackupFolder(
    { inventory, clock, log: part("backup") },
    { host: config.name, softwareVersion: SOFTWARE_VERSION },
  );
  const sockets = socketsOf(config);
  const bootstrap = stack.use(
    buildBootstrap({ ...group.deps, ...sockets, inventory, passwords, scram, proofs, backups, self }, group, {
      clockLimitMs: config.bootstrap.clockLimitMs,
    }),
  );

  const departure = buildDeparture(group.deps, group, bootstrap);
  const queries: Queries = {
    get registry() {
      return replica.state;
    },
    bootstrap,
    inventory,
    membership,
    agent: self,
    status: () => replica.status(),
  };
  const app = createServer(
    {
      commands: commandsOf(replica, bootstrap, departure, {
        passwords,
        tokens: proofs.tokens,
        self: mesh.self,
      }),
      queries,
      registry: replica,
      bootstrap,
      passwords,
      clock,
      log: part("api"),
      incarnation: () => cluster.identity?.incarnation ?? null,
      packBackup: () => {
        if (cluster.identity === null) throw new AppError("not_in_cluster", {});
        return backups.pack(replica.state, cluster.identity);
      },
      metrics: new AgentMetrics(
        { registry: replica, membership, bootstrap, transport: mesh, backups },
        { version: SOFTWARE_VERSION },
      ),
    },
    {
      bootstrapAllowFrom: config.bootstrap.allowFrom,
      bootstrapOpenStatus: config.bootstrap.openStatus,
    },
  );
  const addresses = (): string[] => inventory.current().static.addresses.map(({ address }) => address);
  const needsTls = config.api.listen.some((listen) => listen.type === "tcp" && listen.scheme === "https");
  const tls = needsTls
    ? await ensureCertificate({ directory: config.dataDir, hostname: config.name, addresses: addresses() })
    : null;
  const listeners = new Listeners(
    { app, clock, log: part("api") },
    { listen: config.api.listen, tls, hostAddresses: addresses },
  );
  return { self, bootstrap, backups, departure, listeners };
}

type Api = Awaited<ReturnType<typeof buildApi>>;

function keepBackups(
  { config, clock, stack, part }: Base,
  { replica, cluster, deps }: Group,
  api: Api,
): void {
  const { bootstrap, backups } = api;
  const keeper = new BackupKeeper(
    {
      backups,
      registry: replica,
      identity: () => (bootstrap.state.name === "completed" ? cluster.identity : null),
      clock,
      random: deps.random,
      log: part("backup"),
    },
    config.backup,
  );
  stack.use(keeper).start();
}

function commandsOf(
  replica: Replica,
  bootstrap: BootstrapDriver,
  departure: Departure,
  {
    passwords,
    tokens,
    self,
  }: {
    readonly passwords: ScryptPasswords;
    readonly tokens: TokenSecrets;
    readonly self: MemberId;
  },
): Commands {
  return {
    async submit(command, context) {
      const { index, result } = await replica.submit(command, optionsOf(context));
      if (!result.ok) throw AppError.of(result.refusal);
      return { index, result };
    },
    startBootstrap: (action, request) => bootstrap.start(action, request),
    validateBootstrap: (action, request, signal) => bootstrap.validate(action, request, signal),
    verifierOf: (password) => passwords.derive(password),
    createToken: (wish, context) => issueToken({ registry: replica, tokens, self }, wish, optionsOf(context)),
    lead: (to) => replica.lead(to),
    leave: (context) => departure.leave(optionsOf(context)),
    removeMember: (peer, { force, ...context }) => departure.remove(peer, { force, ...optionsOf(context) }),
  };
}

function optionsOf({ by, key, expect, signal }: WriteContext): Parameters<Replica["submit"]>[1] {
  return {
    by: by.name,
    ...(key === undefined ? {} : { key }),
    ...(expect === undefined ? {} : { expect }),
    ...(signal === undefined ? {} : { signal }),
  };
}

/** Resolves when the bootstrap is `idle` because this peer was taken out of its cluster for good. */
function untilRetired(bootstrap: BootstrapDriver, self: MemberId): Promise<void> {
  return new Promise((resolve) => {
    const look = (state: BootstrapState): void => {
      if (retiredPeer(state) === self) resolve();
    };
    bootstrap.onChange(look);
    look(bootstrap.state);
  });
}

/** The peer id that this host may never use again; null when there is none. */
function retiredPeer(state: BootstrapState): MemberId | null {
  return state.name === "idle" ? (state.retired ?? null) : null;
}

/** What the cluster is told of this agent's unix socket. */
function socketsOf(config: Config): { readonly socketDirectory?: string } {
  const folder = socketDirectory(config);
  return folder === undefined ? {} : { socketDirectory: folder };
}

async function ensureFolder(path: string, mode: number): Promise<void> {
  try {
    await makeFolder(path, mode);
  } catch (error) {
    throw new AppError("path_error", { path, cause: error instanceof Error ? error.message : String(error) });
  }
}

function socketText({ address, port }: SocketAddress): string {
  return `${hostInUrl(address)}:${port}`;
}
