import type { FastifyInstance } from "fastify";

import type { AgentInfo, WriteContext } from "#agent/api/ports.ts";
import { packBackup } from "#agent/backup/form.ts";
import { AgentMetrics } from "#agent/metrics/agent-metrics.ts";
import { createServer, type ServerOptions } from "#agent/api/server.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { epochMs } from "#shared/lib/time.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";
import type { HostFacts } from "#shared/model/hardware.ts";
import type { NewMember } from "#shared/registry/command.ts";
import { FakeBootstrap } from "#test/support/fake-bootstrap.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeInventory } from "#test/support/fake-inventory.ts";
import { FakeMembership } from "#test/support/fake-membership.ts";
import { FakePasswords } from "#test/support/fake-passwords.ts";
import { commandsOver, LocalRegistry } from "#test/support/local-registry.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

/** The peer id under which LocalRegistry leads. */
export const SELF_PEER = "12D3KooWLocal";
const OTHER_PEER = "12D3KooWOther";

/** 2014-08-29T11:19:49Z, the time of seed 003's example. */
export const SEED_TIME = epochMs(1_409_311_189_000);

/** The host of seed 003's example: its processors, addresses and paths; sizes in bytes, as shipped versions have them. */
export function seedFacts(): HostFacts {
  const on = (address: string, format: "ipv4" | "ipv6", if_name: string, inner: boolean) => ({
    address,
    format,
    if_name,
    private: inner,
    prefix_length: format === "ipv4" ? 24 : 64,
    mac: null,
    speed_mbps: null,
    bridge: if_name !== "eth0",
  });
  const storage = (kind: "persistent" | "ephemeral", path: string) => ({
    kind,
    path,
    size: 1_068_393_330_278,
    free: 1_000_000_000,
    filesystem: "ext4",
    device: "/dev/sda1",
    mount_point: "/",
    rotational: false,
  });
  return {
    static: {
      cpu: {
        cores: 2,
        logical_cores: 2,
        physical_cores: 2,
        sockets: 1,
        numa_nodes: 1,
        model: null,
        architecture: "x64",
      },
      memory_total: 25_309_478_912,
      os: {
        version: "Ubuntu 14.04 LTS",
        family: "debian",
        name: "ubuntu",
        semantic_version: "14.04",
        kernel: "3.13.0",
        hostname: "host-1",
        virtualization: null,
      },
      addresses: [
        on("172.16.50.122", "ipv4", "eth0", true),
        on("10.0.3.1", "ipv4", "lxcbr0", true),
        on("172.17.0.1", "ipv4", "docker0", true),
        on("2001:db8:0:f101::1", "ipv6", "eth0", false),
      ],
      bridge_interfaces: ["lxcbr0", "docker0"],
      software_version: SOFTWARE_VERSION,
    },
    live: {
      memory_free: 1_000_000_000,
      load: [0.1, 0.2, 0.3],
      uptime_s: 50_278.6,
      storage: [
        storage("ephemeral", "/var/opt/redislabs/tmp"),
        storage("persistent", "/var/opt/redislabs/persist/redis"),
      ],
      clock: { synchronized: true, source: null },
    },
    stale: [],
    collected_at_ms: SEED_TIME,
  };
}

function newMember(peer: MemberId, name: string): NewMember {
  return {
    peer,
    uuid: `00000000-0000-4000-8000-${Buffer.from(name).toString("hex").padStart(12, "0").slice(-12)}`,
    name,
    addr: "10.0.0.1",
    external_addrs: [],
    mesh_addrs: ["/ip4/10.0.0.1/tcp/9444"],
    api_urls: ["https://10.0.0.1:9443"],
    rack_id: null,
    software_version: SOFTWARE_VERSION,
  };
}

/** The real server over a registry of one, with everything around it faked. */
export class FakeApi implements AsyncDisposable {
  readonly registry = new LocalRegistry();
  readonly bootstrap = new FakeBootstrap({ at: SEED_TIME });
  readonly passwords = new FakePasswords();
  readonly inventory = new FakeInventory(seedFacts());
  readonly membership = new FakeMembership(SELF_PEER);
  readonly clock = new FakeClock();
  readonly log = new RecordingLog();
  readonly agent: AgentInfo = {
    peer: SELF_PEER,
    uuid: "11111111-1111-4111-8111-111111111111",
    name: "host-1.example",
    softwareVersion: SOFTWARE_VERSION,
    apiUrls: ["https://10.0.0.1:9443"],
    meshAddrs: ["/ip4/10.0.0.1/tcp/9444"],
  };
  /** What the writes so far were given: who asks, the key, the signal. */
  readonly writes: WriteContext[] = [];
  /** Members that were to be removed, and who asked this host to leave. */
  readonly removals: { readonly peer: MemberId; readonly force: boolean }[] = [];
  readonly leaves: WriteContext[] = [];
  /** What leaving does; a test may set the bootstrap's state. */
  onLeave: () => void = () => undefined;
  readonly app: FastifyInstance;

  constructor(options: Partial<ServerOptions> = {}) {
    const { registry, bootstrap, inventory, membership, agent, clock, log, passwords } = this;
    this.app = createServer(
      {
        registry,
        bootstrap,
        clock,
        log,
        passwords,
        incarnation: () => 1,
        packBackup: () => {
          const identity = { clusterId: registry.state.cluster?.id ?? "", incarnation: 1 };
          const maker = { host: agent.name, softwareVersion: SOFTWARE_VERSION, at: clock.now() };
          return packBackup(registry.state, identity, maker).bytes;
        },
        metrics: new AgentMetrics(
          {
            registry,
            membership,
            bootstrap,
            transport: { self: SELF_PEER, connected: () => [] },
            backups: { lastSuccessAt: null, failures: 0 },
          },
          { version: SOFTWARE_VERSION },
        ),
        commands: {
          ...commandsOver(registry),
          submit: (command, context) => {
            this.writes.push(context);
            return commandsOver(registry).submit(command, context);
          },
          removeMember: (peer, context) => {
            this.removals.push({ peer, force: context.force });
            return commandsOver(registry).removeMember(peer, context);
          },
          leave: (context) => {
            this.leaves.push(context);
            this.onLeave();
            return Promise.resolve();
          },
          startBootstrap: (action, request) => bootstrap.start(action, request),
          validateBootstrap: (action, request) => bootstrap.validate(action, request),
          verifierOf: (password) => passwords.derive(password),
        },
        queries: {
          registry: registry.state,
          bootstrap,
          inventory,
          membership,
          agent,
          status: () => registry.status(),
        },
      },
      { bootstrapAllowFrom: [], ...options },
    );
  }

  /** Makes this agent the first member of a cluster with the administrator `admin` / `secret`. */
  async createCluster(): Promise<void> {
    await this.registry.submit(
      {
        type: "cluster.create",
        cluster_id: "22222222-2222-4222-8222-222222222222",
        name: "my.cluster",
        member: newMember(SELF_PEER, this.agent.name),
        admin: { name: "admin", verifier: this.passwords.verifier("secret") },
        rack_aware: false,
      },
      { by: "agent" },
    );
    this.bootstrap.uid = 1;
    this.bootstrap.state = {
      name: "completed",
      action: "create_cluster",
      attempt: 1,
      startedAt: SEED_TIME,
      endedAt: SEED_TIME,
    };
  }

  /** Adds a second member, `host-2`, that this agent has heard of only through the registry. */
  async addMember(): Promise<MemberId> {
    await this.registry.submit(
      { type: "member.add", member: newMember(OTHER_PEER, "host-2") },
      { by: "agent" },
    );
    return OTHER_PEER;
  }

  /** Adds the user `eve` / `look`, who may read and change nothing. */
  async addViewer(): Promise<void> {
    await this.registry.submit(
      { type: "user.create", name: "eve", role: "viewer", verifier: this.passwords.verifier("look") },
      { by: "admin" },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.app.close();
  }
}

export function basic(username: string, password: string): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` };
}

/** Credentials of the cluster FakeApi creates. */
export const ADMIN = basic("admin", "secret");
/** Credentials of the user that FakeApi.addViewer adds. */
export const VIEWER = basic("eve", "look");
