import { Type, type Static } from "typebox";

import {
  HOST_ADDRESSES_MAX,
  MEMBERS_MAX,
  PASSWORD_CHARS_MAX,
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
});
export type NewMember = Static<typeof NewMember>;

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
  }),
  /** A host that proved a password. Repeated by the same peer: same uid, record renewed. Answers `{ uid }`. */
  Type.Object({ type: Type.Literal("member.add"), member: NewMember }),
  /** The member holds the registry and takes part; until then it is `joining` and no candidate. */
  Type.Object({ type: Type.Literal("member.activate"), peer: Peer }),
  /** Addresses, URLs or version changed (sent by the member itself after a restart). */
  Type.Object({
    type: Type.Literal("member.update"),
    peer: Peer,
    mesh_addrs: Type.Optional(Type.Array(Addr, { maxItems: HOST_ADDRESSES_MAX })),
    api_urls: Type.Optional(Type.Array(Addr, { maxItems: 16 })),
    software_version: Type.Optional(Type.String({ maxLength: 64 })),
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
  }),

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
export const TOPICS = ["cluster", "members", "zones", "weights", "nodes", "users"] as const;
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
