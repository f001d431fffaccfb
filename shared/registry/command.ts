import { Type, type Static } from "typebox";

import {
  CERTIFICATE_CHARS_MAX,
  DNS_SUFFIXES_MAX,
  HOST_ADDRESSES_MAX,
  LICENSE_CHARS_MAX,
  MEMBERS_MAX,
  PASSWORD_CHARS_MAX,
  TOKEN_NOTE_CHARS_MAX,
  TOKEN_TTL_MS_MAX,
  USER_NAME_CHARS_MAX,
  ZONE_NAME_CHARS_MAX,
} from "#shared/lib/limits.ts";

// Everything that may change cluster-owned facts. A command carries all it needs (ids, verifiers, times): reducers draw nothing.

const Peer = Type.String({ minLength: 1, maxLength: 128 });
const Uuid = Type.String({ minLength: 1, maxLength: 128 });
const Addr = Type.String({ minLength: 1, maxLength: 256 });
const ZoneName = Type.String({ minLength: 1, maxLength: ZONE_NAME_CHARS_MAX });
const UserName = Type.String({ minLength: 1, maxLength: USER_NAME_CHARS_MAX });

/**
 * How a password is kept (SCRAM, RFC 5802 §3, with scrypt, RFC 7914, in place of PBKDF2). It serves both Basic
 * authentication and the join protocol, and does not tell the password. Binary values in base64.
 */
export const PasswordVerifier = Type.Object({
  kdf: Type.Literal("scrypt"),
  /** scrypt cost parameters: N (a power of two), r, p. */
  n: Type.Integer({ minimum: 1024, maximum: 1 << 20 }),
  r: Type.Integer({ minimum: 1, maximum: 32 }),
  p: Type.Integer({ minimum: 1, maximum: 16 }),
  salt: Type.String({ maxLength: 128 }),
  stored_key: Type.String({ maxLength: 128 }),
  server_key: Type.String({ maxLength: 128 }),
});
export type PasswordVerifier = Static<typeof PasswordVerifier>;

/** What a host says of itself when it becomes a member; the cluster adds the uid. */
export const NewMember = Type.Object({
  peer: Peer,
  uuid: Uuid,
  /** Hostname, unique among members. */
  name: Type.String({ minLength: 1, maxLength: 253 }),
  /** Internal address (IP text, no port). */
  addr: Addr,
  external_addrs: Type.Array(Addr, { maxItems: HOST_ADDRESSES_MAX }),
  mesh_addrs: Type.Array(Addr, { maxItems: HOST_ADDRESSES_MAX }),
  /** Where its REST API answers: `https://10.0.0.1:9443`. */
  api_urls: Type.Array(Addr, { maxItems: 16 }),
  rack_id: Type.Union([Type.String({ maxLength: 63 }), Type.Null()]),
  software_version: Type.String({ maxLength: 64 }),
  /** Seed 003's further facts of a node; absent: not given. Only kept and shown, unless something else is said. */
  second_rack_id: Type.Optional(Type.String({ maxLength: 63 })),
  accept_servers: Type.Optional(Type.Boolean()),
  /** All members of a cluster must agree on it: see `node_config_mismatch`. */
  use_internal_ipv6: Type.Optional(Type.Boolean()),
  max_listeners: Type.Optional(Type.Integer({ minimum: 0 })),
  max_redis_servers: Type.Optional(Type.Integer({ minimum: 0 })),
  bigstore_enabled: Type.Optional(Type.Boolean()),
  bigstore_driver: Type.Optional(Type.String({ maxLength: 32 })),
  /** Folder of the agent's unix socket; absent: it has none, or one in its own data folder. See `socket_directory_mismatch`. */
  socket_directory: Type.Optional(Type.String({ maxLength: 256 })),
  /**
   * Main memory, and size of the file system under the bigstore path. Bytes; absent when they could not be found out. Kept here
   * beside the gossiped facts, so that a replacement can be measured against a host that nobody alive has heard of.
   */
  memory_bytes: Type.Optional(Type.Integer({ minimum: 0 })),
  flash_bytes: Type.Optional(Type.Integer({ minimum: 0 })),
});
export type NewMember = Static<typeof NewMember>;

/** Of what a host says of itself, only what has a name here: whatever else a stranger sends along is not kept. */
export function plainMember(said: NewMember): NewMember {
  const fields = Object.keys(NewMember.properties) as (keyof NewMember)[];
  const given = fields.filter((field) => said[field] !== undefined);
  return Object.fromEntries(given.map((field) => [field, said[field]])) as NewMember;
}

/** Seed 003's cluster policy: kept and shown; `rack_aware` is a property of the cluster itself. */
export const ClusterPolicy = Type.Object({
  default_shards_placement: Type.Enum(["dense", "sparse"]),
  default_sharded_proxy_policy: Type.Enum(["single", "all-master-shards", "all-nodes"]),
  default_non_sharded_proxy_policy: Type.Enum(["single", "all-master-shards", "all-nodes"]),
  default_fork_evict_ram: Type.Boolean(),
  shards_overbooking: Type.Boolean(),
});
export type ClusterPolicy = Static<typeof ClusterPolicy>;

/** A DNS zone under which the cluster's names may be found: kept and shown. */
export const DnsSuffix = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 253 }),
  cluster_default: Type.Optional(Type.Boolean()),
  use_aaaa_ns: Type.Optional(Type.Boolean()),
  use_internal_addr: Type.Optional(Type.Boolean()),
  slaves: Type.Optional(Type.Array(Addr, { maxItems: 16 })),
});
export type DnsSuffix = Static<typeof DnsSuffix>;
const DnsSuffixes = Type.Array(DnsSuffix, { maxItems: DNS_SUFFIXES_MAX });
/** The text of a license; empty: none. */
const License = Type.String({ maxLength: LICENSE_CHARS_MAX });

/**
 * How a join token's secret is kept: SCRAM's keys of it (RFC 5802 §3). The secret is random and long, so no slow hash is needed,
 * and neither it nor a proof follows from these. Base64.
 */
export const TokenKeys = Type.Object({
  stored_key: Type.String({ maxLength: 128 }),
  server_key: Type.String({ maxLength: 128 }),
});
export type TokenKeys = Static<typeof TokenKeys>;
const TokenId = Type.String({ minLength: 1, maxLength: 64 });
const UserRole = Type.Enum(["admin", "viewer"]);

/** Options of box.cfg or of another engine: a JSON object; its encoded size is limited (NODE_CFG_BYTES_MAX). */
const NodeCfg = Type.Record(Type.String(), Type.Unknown());
const Login = Type.String({ maxLength: 2 * PASSWORD_CHARS_MAX });

export const Command = Type.Union([
  /** First command of a cluster, written by create_cluster. The first member gets uid 1 and the administrator uid 1. */
  Type.Object({
    type: Type.Literal("cluster.create"),
    cluster_id: Uuid,
    name: Type.String({ minLength: 1, maxLength: 64 }),
    member: NewMember,
    admin: Type.Object({ name: UserName, verifier: PasswordVerifier }),
    rack_aware: Type.Boolean(),
    policy: Type.Optional(ClusterPolicy),
    license: Type.Optional(License),
    dns_suffixes: Type.Optional(DnsSuffixes),
  }),
  /**
   * A host that proved itself. Repeated by the same peer: same uid, record renewed. With the `want_uid` of a failed member it takes
   * that one's place: uid, rack, registered node. `token`: the join token it proved itself with, which is used up. Answers `{ uid }`.
   */
  Type.Object({
    type: Type.Literal("member.add"),
    member: NewMember,
    want_uid: Type.Optional(Type.Integer({ minimum: 1 })),
    override_rack_id: Type.Optional(Type.Boolean()),
    token: Type.Optional(TokenId),
  }),
  /** The member holds the registry and takes part; until then it is `joining` and no candidate. */
  Type.Object({ type: Type.Literal("member.activate"), peer: Peer }),
  /** Addresses, URLs or version changed (sent by the member itself after a restart). */
  Type.Object({
    type: Type.Literal("member.update"),
    peer: Peer,
    mesh_addrs: Type.Optional(Type.Array(Addr, { maxItems: HOST_ADDRESSES_MAX })),
    api_urls: Type.Optional(Type.Array(Addr, { maxItems: 16 })),
    software_version: Type.Optional(Type.String({ maxLength: 64 })),
    memory_bytes: Type.Optional(Type.Integer({ minimum: 0 })),
    flash_bytes: Type.Optional(Type.Integer({ minimum: 0 })),
    /** Empty: it has none any more. */
    socket_directory: Type.Optional(Type.String({ maxLength: 256 })),
  }),
  /** What an administrator may change of a member. A rack can be given once. */
  Type.Object({
    type: Type.Literal("member.configure"),
    peer: Peer,
    /** Of one that is down: where it will be found again. */
    addr: Type.Optional(Addr),
    external_addrs: Type.Optional(Type.Array(Addr, { maxItems: HOST_ADDRESSES_MAX })),
    rack_id: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
    second_rack_id: Type.Optional(Type.String({ maxLength: 63 })),
    accept_servers: Type.Optional(Type.Boolean()),
    max_listeners: Type.Optional(Type.Integer({ minimum: 0 })),
    max_redis_servers: Type.Optional(Type.Integer({ minimum: 0 })),
  }),
  /** The leader's judgement on a member that has long been dead, or that is back. */
  Type.Object({ type: Type.Literal("member.set_failed"), peer: Peer, failed: Type.Boolean() }),
  /** Takes the member out for good; its peer id is tombstoned. Refused for the last member. */
  Type.Object({ type: Type.Literal("member.remove"), peer: Peer }),

  /** Changes only the settings that are passed. */
  Type.Object({
    type: Type.Literal("cluster.configure"),
    candidate_pool_size: Type.Optional(Type.Integer({ minimum: 1, maximum: MEMBERS_MAX })),
    failed_after_ms: Type.Optional(Type.Integer({ minimum: 1000, maximum: 86_400_000 })),
    repair_policy: Type.Optional(Type.Enum(["replace", "open"])),
    /** Can be switched on, once all members have racks, and never off again. */
    rack_aware: Type.Optional(Type.Boolean()),
    policy: Type.Optional(Type.Partial(ClusterPolicy)),
    license: Type.Optional(License),
    dns_suffixes: Type.Optional(DnsSuffixes),
    /** Certificates in PEM whose holders' certificates prove an administrator in a join; empty: none do. */
    trusted_ca: Type.Optional(Type.String({ maxLength: CERTIFICATE_CHARS_MAX })),
  }),

  /** Answers `{ uid }`. */
  Type.Object({
    type: Type.Literal("user.create"),
    name: UserName,
    role: UserRole,
    verifier: PasswordVerifier,
    display_name: Type.Optional(Type.String({ maxLength: USER_NAME_CHARS_MAX })),
    email_alerts: Type.Optional(Type.Boolean()),
  }),
  /** Replaces what is passed. The last administrator stays one. */
  Type.Object({
    type: Type.Literal("user.update"),
    name: UserName,
    role: Type.Optional(UserRole),
    verifier: Type.Optional(PasswordVerifier),
    display_name: Type.Optional(Type.String({ maxLength: USER_NAME_CHARS_MAX })),
    email_alerts: Type.Optional(Type.Boolean()),
  }),
  Type.Object({ type: Type.Literal("user.delete"), name: UserName }),

  /** A join token for one host. Answers `{ expires_at }`, milliseconds since the epoch by the log's time. */
  Type.Object({
    type: Type.Literal("token.create"),
    id: TokenId,
    keys: TokenKeys,
    ttl_ms: Type.Integer({ minimum: 1000, maximum: TOKEN_TTL_MS_MAX }),
    created_by: UserName,
    note: Type.String({ maxLength: TOKEN_NOTE_CHARS_MAX }),
  }),
  /** Whether used or not: it is gone from the list. */
  Type.Object({ type: Type.Literal("token.revoke"), id: TokenId }),

  Type.Object({ type: Type.Literal("zone.create"), name: ZoneName }),
  Type.Object({ type: Type.Literal("zone.rename"), id: Type.Integer(), name: ZoneName }),
  Type.Object({ type: Type.Literal("zone.delete"), id: Type.Integer() }),
  /** Replaces the whole matrix. Zone ids as texts, distances ≥ 0; own zone absent or 0. */
  Type.Object({
    type: Type.Literal("zones.set_weights"),
    weights: Type.Record(Type.String(), Type.Record(Type.String(), Type.Number({ minimum: 0 }))),
  }),

  Type.Object({
    type: Type.Literal("node.register"),
    uuid: Uuid,
    zone_id: Type.Integer(),
    uri: Type.String({ minLength: 1, maxLength: 512 }),
    user: Type.Optional(Login),
    repl_user: Type.Optional(Login),
    cfg: NodeCfg,
  }),
  /** Replaces only what is passed (seed 000, PUT). */
  Type.Object({
    type: Type.Literal("node.update"),
    uuid: Uuid,
    zone_id: Type.Optional(Type.Integer()),
    uri: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
    user: Type.Optional(Login),
    repl_user: Type.Optional(Login),
    cfg: Type.Optional(NodeCfg),
  }),
  Type.Object({ type: Type.Literal("node.unregister"), uuid: Uuid }),
]);
export type Command = Static<typeof Command>;
export type CommandType = Command["type"];
export type CommandOf<T extends CommandType> = Extract<Command, { type: T }>;

/** The topics a command may touch; watchers choose by these. */
export const TOPICS = ["cluster", "members", "zones", "weights", "nodes", "users", "tokens"] as const;
export type Topic = (typeof TOPICS)[number];

/** A precondition of a command: compare and set on one record. An empty id stands for the whole topic. */
export const Expectation = Type.Object({
  topic: Type.Enum(TOPICS),
  id: Type.String({ maxLength: 256 }),
  version: Type.Integer({ minimum: 0 }),
});
export type Expectation = Static<typeof Expectation>;

/**
 * What one log entry of kind `command` carries. `origin`, `session`, `seq`, `ack` make an agent's own repetition of a
 * proposal take effect once (client sessions, Raft dissertation §6.3): `session` is the agent's start count, `seq` counts
 * its commands, and every command below `ack` has been answered. `key` is the caller's Idempotency-Key, if any.
 */
export const Envelope = Type.Object({
  /** 2 when it carries `expect`: a version that does not know preconditions must not apply it without. */
  v: Type.Union([Type.Literal(1), Type.Literal(2)]),
  origin: Peer,
  session: Type.Integer({ minimum: 1 }),
  seq: Type.Integer({ minimum: 1 }),
  ack: Type.Integer({ minimum: 1 }),
  key: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  /** Who asked: a user name, or `agent` for the agents' own commands. */
  by: Type.String({ maxLength: USER_NAME_CHARS_MAX }),
  /** Wall clock of the agent that leads when it appends; the log's own time never goes back (reducers take the maximum). */
  at: Type.Integer({ minimum: 0 }),
  /** The record must have this version (see RegistryState.versions), 0: must not exist; else precondition_failed. */
  expect: Type.Optional(Expectation),
  /** A Command; checked when applied, so that an unknown one is noticed and not skipped. */
  command: Type.Unknown(),
});
export type Envelope = Static<typeof Envelope>;
