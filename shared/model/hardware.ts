import { Type, type Static } from "typebox";

import { HOST_ADDRESSES_MAX } from "#shared/lib/limits.ts";

// What a host is, as its own agent sees it. Host-owned facts: one writer, gossiped to all. All sizes in bytes.

const Text = Type.String({ maxLength: 1024 });
const Bytes = Type.Number({ minimum: 0 });
const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** One address of one interface. Loopback and link-local are left out, unless there is nothing else. */
export const HostAddress = Type.Object({
  address: Type.String({ maxLength: 64 }),
  format: Type.Enum(["ipv4", "ipv6"]),
  if_name: Type.String({ maxLength: 64 }),
  /** Private by RFC 1918 / RFC 4193; `2001:db8::/32` counts as public, as in seed 003. */
  private: Type.Boolean(),
  prefix_length: Type.Integer({ minimum: 0, maximum: 128 }),
  mac: Nullable(Type.String({ maxLength: 32 })),
  speed_mbps: Nullable(Type.Number()),
  bridge: Type.Boolean(),
});
export type HostAddress = Static<typeof HostAddress>;

/** One storage path with the filesystem it is on. Numbers are null when they could not be found out in time. */
export const StoragePath = Type.Object({
  kind: Type.Enum(["persistent", "ephemeral", "bigstore"]),
  path: Type.String({ maxLength: 4096 }),
  size: Nullable(Bytes),
  free: Nullable(Bytes),
  filesystem: Nullable(Text),
  device: Nullable(Text),
  mount_point: Nullable(Text),
  rotational: Nullable(Type.Boolean()),
});
export type StoragePath = Static<typeof StoragePath>;

/** What seldom changes: collected at start, on demand, and when something changed. */
export const StaticFacts = Type.Object({
  cpu: Type.Object({
    /** Logical cores this agent may use (affinity and cgroup quota respected). */
    cores: Type.Integer({ minimum: 1 }),
    logical_cores: Type.Integer({ minimum: 1 }),
    physical_cores: Nullable(Type.Integer({ minimum: 1 })),
    sockets: Nullable(Type.Integer({ minimum: 1 })),
    numa_nodes: Nullable(Type.Integer({ minimum: 1 })),
    model: Nullable(Text),
    architecture: Text,
  }),
  memory_total: Bytes,
  os: Type.Object({
    /** As people write it: `Debian GNU/Linux 12 (bookworm)`. */
    version: Text,
    family: Nullable(Text),
    name: Nullable(Text),
    semantic_version: Nullable(Text),
    kernel: Text,
    hostname: Text,
    virtualization: Nullable(Text),
  }),
  addresses: Type.Array(HostAddress, { maxItems: HOST_ADDRESSES_MAX }),
  bridge_interfaces: Type.Array(Type.String({ maxLength: 64 }), { maxItems: HOST_ADDRESSES_MAX }),
  software_version: Text,
});
export type StaticFacts = Static<typeof StaticFacts>;

/** What is polled (every 10 s). */
export const LiveFacts = Type.Object({
  memory_free: Bytes,
  /** Load averages over 1, 5 and 15 minutes. */
  load: Type.Tuple([Type.Number(), Type.Number(), Type.Number()]),
  /** Seconds since the system started (not the agent). */
  uptime_s: Type.Number({ minimum: 0 }),
  storage: Type.Array(StoragePath, { maxItems: 8 }),
  clock: Type.Object({
    /** Whether the kernel says the clock is disciplined (adjtimex / timedatectl); null if it cannot be known. */
    synchronized: Nullable(Type.Boolean()),
    source: Nullable(Text),
  }),
});
export type LiveFacts = Static<typeof LiveFacts>;

export const HostFacts = Type.Object({
  static: StaticFacts,
  live: LiveFacts,
  /** Names of probes whose last run failed or timed out; their values are the last good ones. */
  stale: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 32 }),
  /** When these were collected, by this host's own clock. Milliseconds since the epoch. */
  collected_at_ms: Type.Number(),
});
export type HostFacts = Static<typeof HostFacts>;
