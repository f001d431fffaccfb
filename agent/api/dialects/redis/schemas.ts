import { Type, type Static } from "typebox";

import { BOOTSTRAP_ACTIONS } from "#shared/bootstrap/machine.ts";
import {
  BOOTSTRAP_RETRIES_MAX,
  CERTIFICATE_CHARS_MAX,
  DNS_SUFFIXES_MAX,
  HOST_ADDRESSES_MAX,
  JOIN_NODES_MAX,
  LICENSE_CHARS_MAX,
  NODE_SERVERS_MAX,
  PASSWORD_CHARS_MAX,
  TOKEN_CHARS_MAX,
  USER_NAME_CHARS_MAX,
} from "#shared/lib/limits.ts";

/** Modules of databases that one request may name; they are not looked at. */
const MODULES_MAX = 64;
/** Rack ids and the like: their own rules are the domain's. */
const TEXT_CHARS_MAX = 4096;

const Text = Type.String({ maxLength: TEXT_CHARS_MAX });
const Flag = Type.Boolean();
const Address = Type.String({ maxLength: 260 });
const Pem = Type.String({ maxLength: CERTIFICATE_CHARS_MAX });
const Places = Type.Integer({ minimum: 0, maximum: NODE_SERVERS_MAX });
/** Ports that a service of the vendor's listens on; nothing does here. */
const ServicePort = Type.Integer({ minimum: 1024, maximum: 65_535 });

/** One of the words, or an empty text, which counts as not given. */
const Word = <const W extends readonly string[]>(words: W) =>
  Type.Unsafe<W[number] | "">(Type.Union([Type.Enum([...words]), Type.Literal("")]));

/** An object all of whose fields may be left out; others are let through. */
const Some = <P extends Type.TProperties>(properties: P) => Type.Partial(Type.Object(properties));

const ProxyPolicy = Word(["single", "all-master-shards", "all-nodes"]);

const Cluster = Some({
  name: Text,
  /** A single text, too: the vendor's page on certificates sends one. */
  nodes: Type.Union([Address, Type.Array(Address, { maxItems: JOIN_NODES_MAX })]),
  wait_command: Flag,
  /** No documented place of it; see toBootstrapRequest. */
  rack_aware: Type.Unknown(),
});

const Credentials = Some({
  username: Type.String({ maxLength: USER_NAME_CHARS_MAX }),
  password: Type.String({ maxLength: PASSWORD_CHARS_MAX }),
  /** Ours: a join token. */
  token: Type.String({ maxLength: TOKEN_CHARS_MAX }),
  client_cert: Pem,
  client_key: Pem,
  trusted_ca: Pem,
});

const Identity = Some({
  uid: Type.Integer({ minimum: 1 }),
  name: Type.String({ maxLength: 253 }),
  addr: Address,
  external_addr: Type.Array(Address, { maxItems: HOST_ADDRESSES_MAX }),
  rack_id: Text,
  second_rack_id: Text,
  override_rack_id: Flag,
  accept_servers: Flag,
  use_internal_ipv6: Flag,
});

const Node = Some({
  identity: Identity,
  limits: Some({ max_listeners: Places, max_redis_servers: Places }),
  paths: Some({
    persistent_path: Text,
    ephemeral_path: Text,
    bigstore_path: Text,
    ccs_persistent_path: Text,
  }),
  bigstore_enabled: Flag,
  bigstore_driver: Word(["rocksdb", "speedb"]),
});

const Policy = Some({
  rack_aware: Flag,
  default_shards_placement: Word(["dense", "sparse"]),
  default_sharded_proxy_policy: ProxyPolicy,
  default_non_sharded_proxy_policy: ProxyPolicy,
  default_fork_evict_ram: Flag,
  shards_overbooking: Flag,
});

/** A DNS zone of the cluster's names; `cluster` and `policy` routes and the bootstrap take the same. */
export const DnsSuffixBody = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 253 }),
  cluster_default: Type.Optional(Flag),
  use_aaaa_ns: Type.Optional(Flag),
  use_internal_addr: Type.Optional(Flag),
  slaves: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 253 }), { maxItems: DNS_SUFFIXES_MAX }),
  ),
});

const Module = Some({
  name: Text,
  location: Some({
    location_type: Word(["http", "https"]),
    url: Text,
    credentials: Some({
      username: Type.String({ maxLength: USER_NAME_CHARS_MAX }),
      password: Type.String({ maxLength: PASSWORD_CHARS_MAX }),
    }),
  }),
});

/**
 * Body of POST /v1/bootstrap/{action} and of its rehearsal: seed 003's bootstrap object in all its versions. Which field does
 * what, and which is only checked, is told in docs/api/redis.md. Fields that are not listed are let through: real clients send many.
 */
export const BootstrapBody = Some({
  action: Word(BOOTSTRAP_ACTIONS),
  cluster: Cluster,
  credentials: Credentials,
  node: Node,
  policy: Policy,
  dns_suffixes: Type.Array(DnsSuffixBody, { maxItems: DNS_SUFFIXES_MAX }),
  license: Type.String({ maxLength: LICENSE_CHARS_MAX }),
  recovery_filename: Text,
  required_version: Type.String({ maxLength: 64 }),
  max_retries: Type.Integer({ minimum: 0, maximum: BOOTSTRAP_RETRIES_MAX }),
  /** Seconds. */
  retry_time: Type.Integer({ minimum: 0, maximum: 3600 }),
  cnm_https_port: Type.Integer({ minimum: 1, maximum: 65_535 }),

  // Taken, checked and without an effect: what they are about does not exist here.
  crdb_coordinator_port: ServicePort,
  envoy_admin_port: ServicePort,
  envoy_mgmt_server_port: ServicePort,
  gossip_envoy_admin_port: ServicePort,
  user_defined_modules: Type.Array(Module, { maxItems: MODULES_MAX }),
  witness_disk: Type.Record(Type.String(), Type.Unknown()),
});
export type BootstrapBody = Static<typeof BootstrapBody>;
