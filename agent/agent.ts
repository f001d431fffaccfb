import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { ensureCertificate } from "#agent/api/certificate.ts";
import { Listeners } from "#agent/api/listeners.ts";
import type { AgentInfo, Commands, Queries } from "#agent/api/ports.ts";
import { createServer } from "#agent/api/server.ts";
import { Announcer } from "#agent/bootstrap/announce.ts";
import { BootstrapDriver } from "#agent/bootstrap/driver.ts";
import { Sponsor } from "#agent/bootstrap/sponsor.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import { Cluster } from "#agent/cluster.ts";
import { hostInUrl } from "#agent/config/address.ts";
import type { Config } from "#agent/config/decide.ts";
import { ScryptQueue } from "#agent/credentials/kdf.ts";
import { ScryptPasswords } from "#agent/credentials/passwords.ts";
import { ScramSha256 } from "#agent/credentials/scram.ts";
import { HostInventory } from "#agent/inventory/collect.ts";
import { MembershipDriver } from "#agent/membership/driver.ts";
import { loadIdentity } from "#agent/mesh/identity.ts";
import { Mesh } from "#agent/mesh/mesh.ts";
import type { Log } from "#agent/ports/log.ts";
import { Replica } from "#agent/registry/replica.ts";
import { openStores } from "#agent/store/open.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { RaftCore } from "#shared/consensus/core.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";

/** Longest a leader may take to hand over before it stops all the same. Milliseconds. */
const HAND_OVER_MS_MAX = 1500;
/** Longest running requests may take once the agent stops. Milliseconds. */
const REQUESTS_MS_MAX = 2000;

/** An agent at work. */
export interface RunningAgent {
  /** Where its REST API answers. */
  readonly urls: readonly string[];
  /** False when it ought to be restarted: what the watchdog asks. */
  healthy(): boolean;
  /** Stops in order: leadership handed over, requests finished, mesh left, store closed. Called once. */
  stop(): Promise<void>;
}

/**
 * Builds one agent and everything in it, in order; the only place that knows all parts. Whatever was started is stopped
 * again, in reverse order, when a later step fails or when the agent stops. Rejects with AppError or StoreDamaged for what
 * an operator can mend.
 */
export async function startAgent(config: Config, { log }: { readonly log: Log }): Promise<RunningAgent> {
  await using stack = new AsyncDisposableStack();
  const part = (name: string): Log => log.child({ part: name });
  const clock = new SystemClock();
  const random = (): number => Math.random();

  await makeFolder(config.dataDir, 0o700);
  for (const path of [config.paths.persistent, config.paths.ephemeral, config.paths.bigstore]) {
    if (path !== null) await makeFolder(path, 0o750);
  }
  const stores = stack.use(await openStores(join(config.dataDir, "store"), { log: part("store") }));
  const host = await stores.identity.host();
  const identity = await loadIdentity(config.dataDir);

  const inventory = new HostInventory({ log: part("inventory"), clock }, { paths: config.paths });
  await inventory.start();
  stack.defer(() => inventory.close());

  const mesh = new Mesh(
    { log: part("mesh"), clock, identity },
    {
      listen: config.mesh.listen.map(({ address, port }) => `${hostInUrl(address)}:${port}`),
      advertise: config.mesh.advertise.map(({ address, port }) => `${hostInUrl(address)}:${port}`),
      software: SOFTWARE_VERSION,
    },
  );
  const membership = new MembershipDriver(
    { transport: mesh, clock, log: part("membership"), random },
    { starts: host.starts },
  );
  const replica = new Replica(
    {
      transport: mesh,
      stores,
      clock,
      log: part("registry"),
      random,
      createCore: (options, start) => new RaftCore(options, start),
      membership,
      session: host.starts,
    },
    config.raft,
  );
  const cluster = stack.use(new Cluster({ registry: replica, transport: mesh, membership }));
  await mesh.start();
  stack.defer(() => mesh.close());
  membership.start();
  stack.defer(() => membership.stop());
  stack.defer(() => replica.stop());

  const kdf = new ScryptQueue();
  const passwords = new ScryptPasswords({ kdf }, { n: config.password.scryptN });
  const scram = new ScramSha256({ kdf }, { nMin: Math.min(config.password.scryptN, SCRYPT_N_MIN) });
  const hostAddresses = (): string[] => inventory.current().static.addresses.map(({ address }) => address);
  const apiUrls = (): readonly string[] =>
    config.api.advertise.length > 0 ? config.api.advertise : listeners.urls;

  const bootstrap = stack.use(
    new BootstrapDriver({
      store: stores.bootstrap,
      identity: stores.identity,
      runtime: cluster,
      transport: mesh,
      inventory,
      passwords,
      scram,
      clock,
      log: part("bootstrap"),
      host: { peer: mesh.self, uuid: host.uuid, name: config.name },
      apiUrls,
    }),
  );
  const isMember = (): boolean => bootstrap.state.name === "completed";
  new Sponsor({
    self: mesh.self,
    transport: mesh,
    registry: replica,
    identity: stores.identity,
    scram,
    clock,
    log: part("sponsor"),
    isMember,
  }).start();

  const agent: AgentInfo = {
    peer: mesh.self,
    uuid: host.uuid,
    name: config.name,
    softwareVersion: SOFTWARE_VERSION,
    get apiUrls() {
      return apiUrls();
    },
    get meshAddrs() {
      return mesh.listenAddrs();
    },
  };
  const queries: Queries = {
    get registry() {
      return replica.state;
    },
    bootstrap,
    inventory,
    membership,
    agent,
    status: () => replica.status(),
  };
  const app = createServer(
    {
      commands: commandsOf(replica, bootstrap),
      queries,
      registry: replica,
      bootstrap,
      passwords,
      clock,
      log: part("api"),
      incarnation: () => cluster.identity?.incarnation ?? null,
    },
    {
      bootstrapAllowFrom: config.bootstrap.allowFrom,
    },
  );
  const needsTls = config.api.listen.some((listen) => listen.type === "tcp" && listen.scheme === "https");
  const tls = needsTls
    ? await ensureCertificate({
        directory: config.dataDir,
        hostname: config.name,
        addresses: hostAddresses(),
      })
    : null;
  const listeners = new Listeners(
    { app, clock, log: part("api") },
    { listen: config.api.listen, tls, hostAddresses },
  );

  // What a former life agreed to goes on before anybody can ask.
  await bootstrap.resume();
  const joined = await stores.identity.cluster();
  if (isMember() && joined !== null) await cluster.resume(joined);
  await listeners.start();
  stack.defer(() => listeners.close(REQUESTS_MS_MAX));

  const announcer = stack.use(
    new Announcer({
      registry: replica,
      clock,
      log: part("bootstrap"),
      own: () =>
        isMember()
          ? {
              peer: mesh.self,
              meshAddrs: mesh.listenAddrs(),
              apiUrls: apiUrls(),
              softwareVersion: SOFTWARE_VERSION,
            }
          : null,
    }),
  );
  announcer.start();
  const publish = (): void => {
    const { meshAddrs } = agent;
    const facts = inventory.current();
    membership.publish({ peer: mesh.self, name: config.name, facts, apiUrls: apiUrls(), meshAddrs });
  };
  publish();
  stack.use(
    inventory.onChange(() => {
      publish();
      announcer.check();
    }),
  );
  stack.use(bootstrap.onChange(() => announcer.check()));
  stack.use(
    replica.onChange((changes) => {
      const removed = changes.some(
        ({ topic, op, id }) => topic === "members" && op === "delete" && id === mesh.self,
      );
      if (!removed) return;
      bootstrap.removed("this host was removed from its cluster").catch((error: unknown) => {
        log.error(
          { err: error },
          "removed from the cluster, but the disk could not be told; restart the agent",
        );
      });
    }),
  );
  stack.defer(() => replica.handOver(HAND_OVER_MS_MAX));

  const running = stack.move();
  return {
    urls: apiUrls(),
    healthy: () => !running.disposed,
    stop: () => running.disposeAsync(),
  };
}

/** Below this scrypt cost a joiner refuses to prove its password; only a test's configuration goes lower. */
const SCRYPT_N_MIN = 16_384;

function commandsOf(replica: Replica, bootstrap: BootstrapDriver): Commands {
  return {
    async submit(command, { by, key, signal }) {
      const options = {
        by: by.name,
        ...(key === undefined ? {} : { key }),
        ...(signal === undefined ? {} : { signal }),
      };
      const { index, result } = await replica.submit(command, options);
      if (!result.ok) throw AppError.of(result.refusal);
      return { index, result };
    },
    startBootstrap: (action, request) => bootstrap.start(action, request),
  };
}

async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (error) {
    throw new AppError("path_error", { path, cause: error instanceof Error ? error.message : String(error) });
  }
}
