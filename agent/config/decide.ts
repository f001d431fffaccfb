import { join, resolve } from "node:path";

import type { TSchema } from "typebox";
import { Value } from "typebox/value";

import type { StoragePaths } from "#agent/ports/inventory.ts";
import type { ApiListener } from "#agent/ports/listen.ts";

import {
  collide,
  hostInUrl,
  parseApiListener,
  parseNetwork,
  parsePlace,
  parseSocketAddress,
  type Network,
  type SocketAddress,
} from "./address.ts";
import type { RawSettings } from "./raw.ts";
import { flagOf, SETTING_KEYS, SETTINGS, type SettingKey } from "./schema.ts";

/** How this agent is to run: checked, complete, without contradictions. Paths are absolute. */
export interface Config {
  readonly name: string;
  readonly dataDir: string;
  readonly api: { readonly listen: readonly ApiListener[]; readonly advertise: readonly string[] };
  readonly mesh: {
    readonly listen: readonly SocketAddress[];
    readonly advertise: readonly SocketAddress[];
    readonly seeds: readonly { readonly host: string; readonly port: number }[];
    readonly beacon: boolean;
  };
  readonly paths: StoragePaths;
  readonly bootstrap: {
    readonly allowFrom: readonly Network[];
    readonly openStatus: boolean;
    readonly clockLimitMs: number;
  };
  readonly backup: { readonly intervalMs: number };
  readonly log: {
    readonly level: "trace" | "debug" | "info" | "warn" | "error";
    readonly format: "auto" | "json" | "pretty";
  };
  /** A heartbeat and an election timeout are whole numbers of ticks; an election starts after 1 to 2 times `electionTicks`. */
  readonly raft: { readonly tickMs: number; readonly heartbeatTicks: number; readonly electionTicks: number };
  readonly disk: { readonly reserveBytes: number };
  readonly password: { readonly scryptN: number };
}

/** The settings as a file would hold them, for `--print-config`: a configuration that gives the same agent again. */
export type Settled = Readonly<Partial<Record<SettingKey, unknown>>>;

export type Decision =
  | { readonly config: Config; readonly settled: Settled }
  | { readonly problems: readonly string[] };

/**
 * Heartbeats in an election timeout. They travel over TCP, so they come late rather than not at all; what has to fit in is one
 * heartbeat and a stall of the leader's event loop or of the network of twice that.
 */
const HEARTBEATS_PER_ELECTION_MIN = 3;

/** Turns what the sources say into a Config, or tells everything that is wrong with it, each complaint naming its source. */
export function decide(raw: RawSettings, hostname: string): Decision {
  const problems: string[] = [];
  const origin = (key: SettingKey): string => raw.get(key)?.origin ?? `${key} (default)`;
  const complain = (key: SettingKey, rule: string): void => void problems.push(`${origin(key)}: ${rule}`);

  const values: Partial<Record<SettingKey, unknown>> = {};
  for (const key of SETTING_KEYS) {
    const { schema, fallback } = SETTINGS[key];
    const value = raw.has(key) ? raw.get(key)?.value : key === "name" ? hostname : fallback;
    if (value === undefined) continue;
    const broken = brokenRule(schema, value);
    if (broken === null) values[key] = value;
    else complain(key, broken);
  }
  if (problems.length > 0) return { problems };

  const text = (key: SettingKey): string => values[key] as string;
  const whole = (key: SettingKey): number => values[key] as number;
  const list = (key: SettingKey): readonly string[] => values[key] as string[];
  /** Reads each item of a list; what cannot be read becomes a complaint. */
  const each = <T>(key: SettingKey, parse: (item: string) => T | string): T[] =>
    list(key).flatMap((item) => {
      const parsed = parse(item);
      if (typeof parsed !== "string") return [parsed];
      complain(key, parsed);
      return [];
    });
  const socketAddress = (item: string): SocketAddress | string =>
    parseSocketAddress(item) ?? `${item} is not ADDR:PORT (an IP address, IPv6 in brackets, and a port)`;

  const dataDir = resolve(text("data_dir"));
  const path = (key: SettingKey, fallback: string): string => resolve((values[key] as string) ?? fallback);
  const config: Config = {
    name: text("name"),
    dataDir,
    api: {
      listen: each("api_listen", parseApiListener),
      advertise: each("api_advertise", parseUrl).map((url) => url.origin),
    },
    mesh: {
      listen: each("mesh_listen", socketAddress),
      advertise: each("mesh_advertise", socketAddress),
      seeds: each(
        "mesh_seeds",
        (item) => parsePlace(item) ?? `${item} is not NAME:PORT or ADDR:PORT (IPv6 in brackets)`,
      ),
      beacon: values["mesh_beacon"] === "on",
    },
    paths: {
      persistent: path("persistent_path", join(dataDir, "persist")),
      ephemeral: path("ephemeral_path", join(dataDir, "tmp")),
      bigstore: values.bigstore_path === undefined ? null : path("bigstore_path", ""),
    },
    bootstrap: {
      allowFrom: each(
        "bootstrap.allow_from",
        (item) => parseNetwork(item) ?? `${item} is not a network like 10.0.0.0/8`,
      ),
      openStatus: values["bootstrap.open_status"] === "local",
      clockLimitMs: whole("bootstrap.clock_limit_ms"),
    },
    backup: { intervalMs: whole("backup.interval_h") * 3_600_000 },
    log: {
      level: values["log.level"] as Config["log"]["level"],
      format: values["log.format"] as Config["log"]["format"],
    },
    raft: {
      tickMs: whole("raft.tick_ms"),
      heartbeatTicks: whole("raft.heartbeat_ms") / whole("raft.tick_ms"),
      electionTicks: whole("raft.election_ms") / whole("raft.tick_ms"),
    },
    disk: { reserveBytes: whole("disk.reserve_mb") * 1024 * 1024 },
    password: { scryptN: whole("password.scrypt_n") },
  };
  if (problems.length > 0) return { problems };
  for (const [key, rule] of contradictions(config)) complain(key, rule);
  return problems.length > 0 ? { problems } : { config, settled: settle(values, config) };
}

/** The first rule of its schema that a value breaks, in words; null when it is fine. */
function brokenRule(schema: TSchema, value: unknown): string | null {
  const first = Value.Errors(schema, value)[0];
  if (first === undefined) return null;
  const shown = JSON.stringify(value);
  if (first.keyword === "enum") {
    const { allowedValues } = first.params as { allowedValues: readonly unknown[] };
    return `${shown} is none of ${allowedValues.join(", ")}`;
  }
  if (first.keyword === "pattern") return `${shown} is not a host name`;
  return `${shown} ${first.message}`;
}

function parseUrl(item: string): URL | string {
  const url = URL.canParse(item) ? new URL(item) : null;
  const plain = url !== null && /^https?:$/.test(url.protocol) && url.pathname === "/" && url.search === "";
  return plain && url.username === "" ? url : `${item} is not a URL like https://HOST:PORT`;
}

/** What is well-formed by itself but cannot be meant together. */
function* contradictions(config: Config): Generator<readonly [SettingKey, string]> {
  const { api, mesh, paths, raft, password } = config;
  if (api.listen.length === 0) yield ["api_listen", "needs at least one listener"];
  if (mesh.listen.length === 0) yield ["mesh_listen", "needs at least one address"];

  const unixPaths = api.listen.flatMap((listener) => (listener.type === "unix" ? [listener.path] : []));
  if (new Set(unixPaths).size < unixPaths.length) yield ["api_listen", "names a unix socket twice"];

  const sockets: { readonly key: SettingKey; readonly at: SocketAddress; readonly shown: string }[] = [];
  for (const listener of api.listen) {
    if (listener.type === "unix") continue;
    const shown = `${listener.scheme}://${hostInUrl(listener.address)}:${listener.port}`;
    sockets.push({ key: "api_listen", at: listener, shown });
  }
  for (const at of mesh.listen) {
    sockets.push({ key: "mesh_listen", at, shown: `${hostInUrl(at.address)}:${at.port}` });
  }
  for (const [index, socket] of sockets.entries()) {
    const other = sockets.slice(0, index).find(({ at }) => collide(at, socket.at));
    if (other !== undefined) {
      yield [socket.key, `${socket.shown} is the same place as ${other.shown} (${flagOf(other.key)})`];
    }
  }

  const folders: readonly (readonly [SettingKey, string | null])[] = [
    ["data_dir", config.dataDir],
    ["persistent_path", paths.persistent],
    ["ephemeral_path", paths.ephemeral],
    ["bigstore_path", paths.bigstore],
  ];
  for (const [index, [key, folder]] of folders.entries()) {
    const other = folders.slice(0, index).find(([, earlier]) => earlier === folder);
    if (folder !== null && other !== undefined) yield [key, `${folder} is the ${other[0]} already`];
  }

  if (!Number.isInteger(raft.heartbeatTicks)) {
    yield ["raft.heartbeat_ms", `must be a multiple of raft.tick_ms (${raft.tickMs})`];
  }
  if (!Number.isInteger(raft.electionTicks)) {
    yield ["raft.election_ms", `must be a multiple of raft.tick_ms (${raft.tickMs})`];
  }
  if (raft.electionTicks < HEARTBEATS_PER_ELECTION_MIN * raft.heartbeatTicks) {
    yield ["raft.election_ms", `must be at least ${HEARTBEATS_PER_ELECTION_MIN} times raft.heartbeat_ms`];
  }
  if (!Number.isInteger(Math.log2(password.scryptN))) yield ["password.scrypt_n", "must be a power of two"];
}

function settle(values: Settled, config: Config): Settled {
  const settled: Settled = {
    ...values,
    data_dir: config.dataDir,
    persistent_path: config.paths.persistent,
    ephemeral_path: config.paths.ephemeral,
    ...(config.paths.bigstore === null ? {} : { bigstore_path: config.paths.bigstore }),
  };
  const given = SETTING_KEYS.filter((key) => settled[key] !== undefined);
  return Object.fromEntries(given.map((key) => [key, settled[key]]));
}
