import { Type, type Static } from "typebox";

import { JOIN_NODES_MAX } from "#shared/lib/limits.ts";
import { HOST_ADDRESSES_MAX, PASSWORD_CHARS_MAX, USER_NAME_CHARS_MAX } from "#shared/lib/limits.ts";

const Text = Type.String({ maxLength: 4096 });
const Address = Type.String({ minLength: 1, maxLength: 260 });
const Count = Type.Integer({ minimum: 0, maximum: 1000 });

/**
 * Body of POST /v1/bootstrap/{action}: what of seed 003's object has an effect here. Other fields are ignored, as real
 * clients send many; a known field of a wrong type is refused.
 */
export const BootstrapBody = Type.Object({
  action: Type.Optional(Text),
  cluster: Type.Optional(
    Type.Object({
      name: Type.Optional(Text),
      /** A single text, too: the vendor's page on certificates sends one. */
      nodes: Type.Optional(Type.Union([Address, Type.Array(Address, { maxItems: JOIN_NODES_MAX })])),
    }),
  ),
  credentials: Type.Object({
    username: Type.String({ maxLength: USER_NAME_CHARS_MAX }),
    password: Type.String({ maxLength: PASSWORD_CHARS_MAX }),
  }),
  node: Type.Optional(
    Type.Object({
      identity: Type.Optional(
        Type.Object({
          uid: Type.Optional(Type.Integer({ minimum: 1 })),
          name: Type.Optional(Type.String({ maxLength: 253 })),
          addr: Type.Optional(Address),
          external_addr: Type.Optional(Type.Array(Address, { maxItems: HOST_ADDRESSES_MAX })),
          rack_id: Type.Optional(Text),
        }),
      ),
      paths: Type.Optional(
        Type.Object({
          persistent_path: Type.Optional(Text),
          ephemeral_path: Type.Optional(Text),
          bigstore_path: Type.Optional(Text),
        }),
      ),
    }),
  ),
  policy: Type.Optional(Type.Object({ rack_aware: Type.Optional(Type.Boolean()) })),
  license: Type.Optional(Type.String()),
  max_retries: Type.Optional(Count),
  /** Seconds. */
  retry_time: Type.Optional(Type.Integer({ minimum: 0, maximum: 3600 })),
  cnm_https_port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
});
export type BootstrapBody = Static<typeof BootstrapBody>;

/** Seed 003, table "Response". */
const STATE_WORDS = [
  "idle",
  "initiated",
  "creating_cluster",
  "recovering_cluster",
  "joining_cluster",
  "error",
  "completed",
] as const;

const AvailableAddress = Type.Object({
  address: Type.String(),
  format: Type.Enum(["ipv4", "ipv6"]),
  if_name: Type.String(),
  private: Type.Boolean(),
});

/** Sizes in bytes, uptime in seconds. What could not be found out is left out. */
const LocalNodeInfo = Type.Object({
  /** Absent before this node is in a cluster. */
  uid: Type.Optional(Type.Integer()),
  software_version: Type.String(),
  architecture: Type.String(),
  cores: Type.Integer(),
  total_memory: Type.Number(),
  uptime: Type.Integer(),
  os_version: Type.String(),
  os_family: Type.Optional(Type.String()),
  os_name: Type.Optional(Type.String()),
  os_semantic_version: Type.Optional(Type.String()),
  short_hostname: Type.String(),
  persistent_storage_path: Type.Optional(Type.String()),
  persistent_storage_size: Type.Optional(Type.Number()),
  ephemeral_storage_path: Type.Optional(Type.String()),
  ephemeral_storage_size: Type.Optional(Type.Number()),
  bigredis_storage_path: Type.Optional(Type.String()),
  bridge_interfaces: Type.Array(Type.String()),
  /** The seed's name and the shipped product's name for the same list; clients read either. */
  available_addrs: Type.Array(AvailableAddress),
  available_addresses: Type.Array(AvailableAddress),
});
export type LocalNodeInfo = Static<typeof LocalNodeInfo>;

const BootstrapStatus = Type.Object({
  state: Type.Enum([...STATE_WORDS]),
  /** Whole seconds, UTC: `2014-08-29T11:19:49Z`. */
  /** Ours: why a host that was in a cluster is `idle` again. */
  reason: Type.Optional(Type.String()),
  start_time: Type.Optional(Type.String()),
  end_time: Type.Optional(Type.String()),
  error_code: Type.Optional(Type.String()),
  error_details: Type.Optional(Type.Object({ message: Type.String() }, { additionalProperties: true })),
});
export type BootstrapStatus = Static<typeof BootstrapStatus>;

/** Answer of GET /v1/bootstrap. */
export const BootstrapView = Type.Object({
  bootstrap_status: BootstrapStatus,
  local_node_info: LocalNodeInfo,
});
