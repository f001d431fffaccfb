import { Type, type TSchema } from "typebox";

import { JOIN_CLOCK_OFFSET_MS_MAX } from "#shared/lib/limits.ts";

/** Most entries a list in the configuration may have. */
const LIST_ITEMS_MAX = 32;

/** One setting: how a text becomes its value, its bounds, what it is for, and its value when nobody gives one. */
interface Setting {
  readonly kind: "text" | "list" | "integer" | "choice";
  readonly schema: TSchema;
  /** One line for `--help`. */
  readonly about: string;
  /** Undefined: decide.ts works it out, or the setting may be absent. */
  readonly fallback?: string | number | readonly string[];
}

function path(about: string, fallback?: string): Setting {
  const schema = Type.String({ minLength: 1, maxLength: 4096 });
  return { kind: "text", schema, about, ...(fallback === undefined ? {} : { fallback }) };
}

function list(about: string, fallback: readonly string[] = []): Setting {
  const item = Type.String({ minLength: 1, maxLength: 4096 });
  return { kind: "list", schema: Type.Array(item, { maxItems: LIST_ITEMS_MAX }), about, fallback };
}

function choice(about: string, values: readonly string[], fallback: string): Setting {
  return { kind: "choice", schema: Type.Enum([...values]), about, fallback };
}

function integer(about: string, minimum: number, maximum: number, fallback: number): Setting {
  return { kind: "integer", schema: Type.Integer({ minimum, maximum }), about, fallback };
}

/**
 * Every setting of an agent. A dot separates the section from the key: `log.level` is `{"log": {"level": …}}` in the file,
 * `MUSTER_LOG_LEVEL` in the environment and `--log-level` as a flag.
 */
const TABLE = {
  data_dir: path("folder that holds all the agent keeps", "/var/lib/muster"),
  name: {
    kind: "text",
    schema: Type.String({
      minLength: 1,
      maxLength: 253,
      pattern: "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
    }),
    about: "name of this host in the cluster; default: the system's hostname",
  },
  api_listen: list("where the REST API listens: https://ADDR:PORT, http://ADDR:PORT or unix:PATH", [
    "https://0.0.0.0:9443",
    "unix:/run/muster/muster.sock",
  ]),
  api_advertise: list("URLs told to others in place of the listening ones"),
  mesh_listen: list("where other agents connect: ADDR:PORT", ["0.0.0.0:9444"]),
  mesh_advertise: list("ADDR:PORT told to other agents in place of the listening ones"),
  mesh_seeds: list("NAME:PORT or ADDR:PORT where to ask for members that are not where they were"),
  mesh_beacon: choice(
    "whether to look for missing members by multicast on the same network (239.255.94.44, port 9444/udp)",
    ["on", "off"],
    "on",
  ),
  persistent_path: path("folder for data that must last; default: persist in the data folder"),
  ephemeral_path: path("folder for data that may go; default: tmp in the data folder"),
  bigstore_path: path("folder on flash for large data; default: none"),
  "bootstrap.allow_from": list(
    "networks (CIDR), beside this host itself, that may bootstrap it before it has users",
  ),
  "bootstrap.open_status": choice(
    "local: callers on this host see how far its bootstrap is without a login, also once it is in a cluster",
    ["off", "local"],
    "off",
  ),
  "bootstrap.clock_limit_ms": integer(
    "how far a joining host's clock may be off this one's",
    100,
    3_600_000,
    JOIN_CLOCK_OFFSET_MS_MAX,
  ),
  "backup.interval_h": integer(
    "hours between backups of the registry in the persistent path; 0: none",
    0,
    8760,
    6,
  ),
  "log.level": choice("least weighty events to log", ["trace", "debug", "info", "warn", "error"], "info"),
  "log.format": choice(
    "auto: pretty on a terminal, else one JSON object per line",
    ["auto", "json", "pretty"],
    "auto",
  ),
  // Stalls of 0.2 to 0.6 s of the event loop were measured under load; an election must wait longer than those and a heartbeat.
  // The tick is that of membership, so that one wake-up serves both. An idle agent's cost is that of its messages, most of
  // which are heartbeats; what is left of the election timeout after one is what a leader may stand still: 0.8 s.
  "raft.tick_ms": integer("length of a consensus tick", 5, 1000, 100),
  "raft.heartbeat_ms": integer("how often a leader tells that it lives", 5, 10_000, 400),
  "raft.election_ms": integer(
    "silence before a voter stands for election, up to twice that",
    50,
    60_000,
    1200,
  ),
  "disk.reserve_mb": integer(
    "MiB of the data folder's disk to keep free (at most 5 % of it); below, a leader takes no new writes",
    0,
    1_048_576,
    64,
  ),
  "password.scrypt_n": integer(
    "cost of a stored password (scrypt N, a power of two)",
    1024,
    1_048_576,
    32_768,
  ),
} as const satisfies Record<string, Setting>;

export type SettingKey = keyof typeof TABLE;
export const SETTINGS: Readonly<Record<SettingKey, Setting>> = TABLE;
export const SETTING_KEYS = Object.keys(TABLE) as SettingKey[];

/** `log.level` → `MUSTER_LOG_LEVEL`. */
export function variableOf(key: string): string {
  return `MUSTER_${key.replaceAll(".", "_").toUpperCase()}`;
}

/** `log.level` → `--log-level`. */
export function flagOf(key: string): string {
  return `--${key.replaceAll(/[._]/g, "-")}`;
}
