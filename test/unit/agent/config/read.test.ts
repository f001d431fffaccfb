import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, test } from "vitest";

import { readConfig, type Config } from "#agent/config/read.ts";

const dir = mkdtempSync(join(tmpdir(), "muster-config-"));
afterAll(() => rmSync(dir, { recursive: true }));

let files = 0;

/** A configuration file with this content. */
function file(content: unknown): string {
  files += 1;
  const path = join(dir, `muster-${files}.json`);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

function config(argv: readonly string[], env: Record<string, string> = {}): Config {
  const outcome = readConfig(["--config", file({}), ...argv], env);
  if (outcome.type !== "run") throw new Error(JSON.stringify(outcome));
  return outcome.config;
}

function problems(argv: readonly string[], env: Record<string, string> = {}): readonly string[] {
  const outcome = readConfig(argv.includes("--config") ? argv : ["--config", file({}), ...argv], env);
  if (outcome.type !== "refused") throw new Error(JSON.stringify(outcome));
  return outcome.problems;
}

function printed(argv: readonly string[], env: Record<string, string> = {}): string {
  const outcome = readConfig(argv, env);
  if (outcome.type !== "print") throw new Error(JSON.stringify(outcome));
  return outcome.text;
}

describe("defaults", () => {
  test("an empty configuration is a complete one", () => {
    expect(config([])).toEqual({
      name: hostname(),
      dataDir: "/var/lib/muster",
      api: {
        listen: [
          { type: "tcp", scheme: "https", address: "0.0.0.0", port: 9443 },
          { type: "unix", path: "/run/muster/muster.sock" },
        ],
        advertise: [],
      },
      mesh: { listen: [{ address: "0.0.0.0", port: 9444 }], advertise: [], seeds: [], beacon: true },
      paths: { persistent: "/var/lib/muster/persist", ephemeral: "/var/lib/muster/tmp", bigstore: null },
      bootstrap: { allowFrom: [], openStatus: false, clockLimitMs: 5000 },
      backup: { intervalMs: 6 * 3_600_000 },
      log: { level: "info", format: "auto" },
      raft: { tickMs: 100, heartbeatTicks: 4, electionTicks: 12 },
      disk: { reserveBytes: 64 * 1024 * 1024 },
      password: { scryptN: 32_768 },
    });
  });

  test("folders follow the data folder, and are absolute", () => {
    const { dataDir, paths } = config(["--data-dir", "data"]);
    expect(dataDir).toBe(join(process.cwd(), "data"));
    expect(paths.persistent).toBe(join(process.cwd(), "data", "persist"));
  });
});

describe("three sources, the later one wins key by key", () => {
  const content = {
    name: "from-file",
    log: { level: "debug" },
    mesh_listen: ["10.0.0.1:1"],
    raft: { tick_ms: 10 },
  };

  test("file, then environment, then flags", () => {
    const argv = ["--config", file(content), "--name", "from-flag"];
    const env = { MUSTER_NAME: "from-env", MUSTER_LOG_LEVEL: "warn", PATH: "/bin" };
    const outcome = readConfig(argv, env);
    expect(outcome).toMatchObject({
      type: "run",
      config: {
        name: "from-flag",
        log: { level: "warn" },
        mesh: { listen: [{ address: "10.0.0.1", port: 1 }] },
        raft: { tickMs: 10, heartbeatTicks: 40 },
      },
    });
  });

  test("MUSTER_CONFIG names the file, and --config another one", () => {
    const [one, two] = [file({ name: "one" }), file({ name: "two" })];
    expect(readConfig([], { MUSTER_CONFIG: one })).toMatchObject({ config: { name: "one" } });
    expect(readConfig(["--config", two], { MUSTER_CONFIG: one })).toMatchObject({ config: { name: "two" } });
  });

  test("lists: an array, commas, a flag given again; a later source replaces the whole list", () => {
    const listen = [
      { type: "unix", path: "/a" },
      { type: "tcp", scheme: "http", address: "::1", port: 80 },
    ];
    expect(config([], { MUSTER_API_LISTEN: "unix:/a, http://[::1]:80" }).api.listen).toEqual(listen);
    const flags = ["--api-listen", "unix:/a", "--api-listen=http://[::1]:80"];
    expect(config(flags, { MUSTER_API_LISTEN: "unix:/b" }).api.listen).toEqual(listen);
  });

  test("a printed configuration gives the same agent again", () => {
    const argv = ["--data-dir", "/d", "--bigstore-path", "/flash", "--raft-tick-ms=25", "--name", "n"];
    const text = printed(["--config", file({}), ...argv, "--print-config"]);
    expect(readConfig(["--config", file(text)], {})).toEqual({ type: "run", config: config(argv) });
  });
});

describe("refused by name, with the source", () => {
  test.each<[string, readonly string[], Record<string, string>, RegExp]>([
    [
      "unknown flag",
      ["--mesh-lisen", "1.1.1.1:1"],
      {},
      /^--mesh-lisen is not a known flag; did you mean --mesh-listen\?$/,
    ],
    [
      "unknown variable",
      [],
      { MUSTER_NAMES: "x" },
      /^MUSTER_NAMES is not a known variable; did you mean MUSTER_NAME\?$/,
    ],
    ["a word that is no flag", ["start"], {}, /^start: only flags/],
    ["flag without value", ["--name"], {}, /^--name needs a value$/],
    ["flag swallowed as a value", ["--name", "--log-level", "info"], {}, /^--name needs a value$/],
    ["one value, two flags", ["--name=a", "--name=b"], {}, /^--name is given twice$/],
    ["no whole number", [], { MUSTER_RAFT_TICK_MS: "1.5" }, /^MUSTER_RAFT_TICK_MS: "1.5" must be integer$/],
    ["out of bounds", ["--raft-tick-ms", "1"], {}, /^--raft-tick-ms: 1 must be >= 5$/],
    [
      "not one of",
      ["--log-level", "loud"],
      {},
      /^--log-level: "loud" is none of trace, debug, info, warn, error$/,
    ],
    ["no host name", ["--name", "a b"], {}, /^--name: "a b" is not a host name$/],
    [
      "listener by name",
      ["--api-listen", "https://localhost:1"],
      {},
      /^--api-listen: https:\/\/localhost:1 is none of/,
    ],
    ["port too large", ["--api-listen", "https://127.0.0.1:65536"], {}, /^--api-listen: /],
    ["relative socket", ["--api-listen", "unix:muster.sock"], {}, /absolute path/],
    ["socket path too long", ["--api-listen", `unix:/${"x".repeat(107)}`], {}, /too long for a unix socket/],
    [
      "mesh address without port",
      ["--mesh-listen", "10.0.0.1"],
      {},
      /^--mesh-listen: 10.0.0.1 is not ADDR:PORT/,
    ],
    ["IPv6 without brackets", ["--mesh-listen", "::1:9444"], {}, /^--mesh-listen: /],
    [
      "seed without port",
      ["--mesh-seeds", "mesh.example.com"],
      {},
      /^--mesh-seeds: mesh.example.com is not NAME:PORT/,
    ],
    ["seed at no address", ["--mesh-seeds", "10.0.0.256:9444"], {}, /^--mesh-seeds: 10.0.0.256:9444 is not /],
    ["seed at port 0", ["--mesh-seeds", "10.0.0.2:0"], {}, /^--mesh-seeds: /],
    ["beacon neither on nor off", ["--mesh-beacon", "yes"], {}, /^--mesh-beacon: "yes" is none of on, off/],
    ["no network", ["--bootstrap-allow-from", "10.0.0.0/33"], {}, /^--bootstrap-allow-from: 10.0.0.0\/33/],
    ["no URL", ["--api-advertise", "host:9443"], {}, /^--api-advertise: host:9443 is not a URL/],
    [
      "nothing to listen on",
      [],
      { MUSTER_API_LISTEN: "" },
      /^MUSTER_API_LISTEN: needs at least one listener$/,
    ],
  ])("%s", (_, argv, env, sentence) => {
    expect(problems(argv, env)).toEqual([expect.stringMatching(sentence)]);
  });

  test("an unknown key of the file, in a section too", () => {
    const path = file({ mesh_lisen: ["0.0.0.0:1"], log: { levle: "info" }, raft: 7 });
    expect(problems(["--config", path])).toEqual([
      `${path}: \`mesh_lisen\` is not a known key; did you mean mesh_listen?`,
      `${path}: \`log.levle\` is not a known key; did you mean log.level?`,
      `${path}: \`raft\` is not a known key`,
    ]);
  });

  test("a value of the wrong type in the file", () => {
    const path = file({ data_dir: { a: 1 } });
    expect(problems(["--config", path])).toEqual([`${path}: \`data_dir\`: {"a":1} must be string`]);
  });

  test("a file that was asked for and is missing, broken, or no object", () => {
    expect(problems(["--config", "/nowhere/muster.json"])).toEqual([
      "/nowhere/muster.json: cannot be read (ENOENT)",
    ]);
    expect(problems(["--config", file("{")])[0]).toContain("is not JSON");
    expect(problems(["--config", file("[]")])[0]).toContain("must hold one JSON object");
  });
});

describe("contradictions", () => {
  test.each<[string, readonly string[], string]>([
    [
      "API and mesh on one port",
      ["--api-listen", "https://10.0.0.1:9444"],
      "mesh_listen (default): 0.0.0.0:9444 is the same place as https://10.0.0.1:9444 (--api-listen)",
    ],
    [
      "a wildcard and an address of the same port",
      ["--mesh-listen", "[::]:7", "--mesh-listen", "127.0.0.1:7"],
      "--mesh-listen: 127.0.0.1:7 is the same place as [::]:7 (--mesh-listen)",
    ],
    [
      "one socket twice",
      ["--api-listen", "unix:/a", "--api-listen", "unix:/a"],
      "--api-listen: names a unix socket twice",
    ],
    [
      "one folder for two purposes",
      ["--persistent-path", "/x", "--ephemeral-path", "/x/"],
      "--ephemeral-path: /x is the persistent_path already",
    ],
    [
      "election no longer than a few heartbeats",
      ["--raft-election-ms", "800"],
      "--raft-election-ms: must be at least 3 times raft.heartbeat_ms",
    ],
    [
      "heartbeat between ticks",
      ["--raft-heartbeat-ms", "120"],
      "--raft-heartbeat-ms: must be a multiple of raft.tick_ms (100)",
    ],
    ["scrypt cost", ["--password-scrypt-n", "20000"], "--password-scrypt-n: must be a power of two"],
  ])("%s", (_, argv, sentence) => {
    expect(problems(argv)).toEqual([sentence]);
  });

  test("ports that the system chooses never collide, nor do different addresses", () => {
    config(["--api-listen", "https://0.0.0.0:0", "--mesh-listen", "0.0.0.0:0"]);
    config(["--api-listen", "https://127.0.0.1:1", "--mesh-listen", "127.0.0.2:1"]);
  });
});

describe("what only prints", () => {
  test("--help names every flag; --version is the version", () => {
    const help = printed(["--help", "--nonsense"]);
    for (const flag of ["--config", "--data-dir", "--api-listen", "--raft-tick-ms", "--print-config"]) {
      expect(help).toContain(flag);
    }
    expect(printed(["--version"])).toMatch(/^\d+\.\d+\.\d+$/);
  });
});
