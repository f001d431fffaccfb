import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";

import { Command } from "commander";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";

import { bootstrapCommands } from "#agent/cli/bootstrap-commands.ts";
import { NoAnswer } from "#agent/cli/client.ts";

// Flags in, request out, and what is printed. The agent is one that says yes to everything. Only what concerns the process itself is
// tried with one: starting it takes a while.

interface Asked {
  readonly line: string;
  readonly login: string | null;
  readonly body: unknown;
}

const MUSTER = new URL("../../../../agent/muster.js", import.meta.url).pathname;
const dir = mkdtempSync(join(tmpdir(), "muster-cli-commands-"));
let server: Server;
let url: string;
let asked: Asked[];
let outcome: object;

beforeAll(async () => {
  writeFileSync(join(dir, "password"), "geheim ä\n");
  writeFileSync(join(dir, "token"), "mt1.abc\r\n");
  writeFileSync(join(dir, "empty"), "\n");
  server = createServer((request, response) => void answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
beforeEach(() => {
  asked = [];
  outcome = { state: "completed", steps: [{ name: "preflight", state: "done" }] };
});
afterAll(() => {
  server.close();
  rmSync(dir, { recursive: true });
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const sent = await text(request);
  const { method, headers } = request;
  const login = headers.authorization?.replace("Basic ", "") ?? null;
  asked.push({
    line: `${method} ${request.url}`,
    login: login === null ? null : Buffer.from(login, "base64").toString(),
    body: sent === "" ? null : JSON.parse(sent),
  });
  response.end(method === "POST" ? undefined : JSON.stringify({ bootstrap_status: outcome }));
}

/** The command in this process; `err` is what its message would be. */
async function muster(argv: readonly string[]): Promise<{ out: string; err: string | null }> {
  const program = new Command();
  bootstrapCommands(program);
  let out = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((said) => {
    out += String(said);
    return true;
  });
  try {
    await program.parseAsync([...argv, "--url", url], { from: "user" });
    return { out, err: null };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return { out, err: error.message };
  } finally {
    write.mockRestore();
  }
}

/** The same as a process of its own. */
async function musterProcess(argv: readonly string[], input: string) {
  const child = spawn(process.execPath, [MUSTER, ...argv, "--url", url], { cwd: dir });
  child.stdin.end(input);
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  return { out, err, code: code as number };
}

const file = (name: string): string => join(dir, name);
const ADMIN = ["--admin", "me@example.com", "--admin-password-file", file("password")] as const;
const credentials = { username: "me@example.com", password: "geheim ä" };

describe("the request that a command makes", () => {
  test.each<[string, readonly string[], string, object]>([
    [
      "create",
      ["create", "my.cluster", ...ADMIN],
      "create_cluster",
      {
        cluster: { name: "my.cluster" },
        credentials,
        node: { identity: {} },
      },
    ],
    [
      "create in racks",
      ["create", "my.cluster", ...ADMIN, "--rack-id", "a", "--rack-aware"],
      "create_cluster",
      {
        cluster: { name: "my.cluster" },
        credentials,
        node: { identity: { rack_id: "a" } },
        policy: { rack_aware: true },
      },
    ],
    [
      "join",
      ["join", "10.0.0.1", "10.0.0.2:9543", ...ADMIN, "--rack-id", "b"],
      "join_cluster",
      {
        cluster: { nodes: ["10.0.0.1", "10.0.0.2:9543"] },
        credentials,
        node: { identity: { rack_id: "b" } },
      },
    ],
    [
      "take a place",
      ["join", "10.0.0.1", ...ADMIN, "--uid", "2", "--override-rack-id"],
      "join_cluster",
      {
        cluster: { nodes: ["10.0.0.1"] },
        credentials,
        node: { identity: { uid: 2, override_rack_id: true } },
      },
    ],
    [
      "join by token",
      ["join", "--token-file", file("token")],
      "join_cluster",
      {
        cluster: { nodes: [] },
        credentials: { token: "mt1.abc" },
        node: { identity: {} },
      },
    ],
    ["recover", ["recover"], "recover_cluster", { cluster: { nodes: [] }, node: { identity: {} } }],
    [
      "recover from a file",
      ["recover", "--file", "x.backup", "--uid", "1", "10.0.0.2", ...ADMIN],
      "recover_cluster",
      {
        cluster: { nodes: ["10.0.0.2"] },
        credentials,
        recovery_filename: "x.backup",
        node: { identity: { uid: 1 } },
      },
    ],
  ])("%s", async (_what, argv, action, body) => {
    expect(await muster(argv)).toEqual({ err: null, out: "preflight done\nthis host is in the cluster\n" });
    expect(asked.map(({ line }) => line)).toEqual([
      `POST /v1/bootstrap/${action}`,
      "GET /v1/bootstrap?wait=1s&state=initiated",
    ]);
    expect(asked[0]?.body).toEqual(body);
  });

  test("the caller's own login is not the cluster's administrator, but the administrator's serves for it", async () => {
    await muster(["join", "h", ...ADMIN, "--user", "u", "--password-file", file("password")]);
    expect(asked.map(({ login }) => login)).toEqual(["u:geheim ä", "u:geheim ä"]);
    asked = [];
    // The host ignores credentials before it is in the cluster, and asks for some once it is.
    await muster(["join", "h", ...ADMIN]);
    expect(asked.map(({ login }) => login)).toEqual(["me@example.com:geheim ä", "me@example.com:geheim ä"]);
    asked = [];
    await muster(["join", "--token-file", file("token")]);
    expect(asked.map(({ login }) => login)).toEqual([null, null]);
  });
});

describe("what is printed", () => {
  test("an attempt that fails ends with exit code 1, its code and a sentence", async () => {
    outcome = {
      state: "error",
      error_code: "access_denied",
      error_details: { message: "the cluster refused the credentials" },
    };
    const sentence = "access_denied: the cluster refused the credentials";
    const plain = await musterProcess(["join", "--token-file", "-"], "mt1.xyz\n");
    expect(plain).toEqual({ code: 1, out: "", err: `muster: ${sentence}\n` });
    expect(asked[0]?.body).toMatchObject({ credentials: { token: "mt1.xyz" } });
    const json = await muster(["join", "h", ...ADMIN, "--json"]);
    expect([json.err, JSON.parse(json.out)]).toEqual([sentence, { bootstrap_status: outcome }]);
  });

  test.each([
    [["create", "c"], "a cluster needs an administrator: give --admin and --admin-password-file"],
    [["create", "c", "--admin", "a"], "--admin and --admin-password-file go together"],
    [["join", "h"], "give either --token-file, or --admin and --admin-password-file"],
    [
      ["join", "--token-file", file("token"), ...ADMIN],
      "give either --token-file, or --admin and --admin-password-file",
    ],
    [["join", ...ADMIN], "name a member of the cluster to ask"],
    [["join", "--token-file", file("empty")], `${file("empty")} is empty`],
    [["join", "--token-file", file("nowhere")], `${file("nowhere")} cannot be read`],
    [["recover", "--user", "u"], "--user and --password-file go together"],
  ])("%j asks nobody: %s", async (argv, sentence) => {
    expect([await muster(argv), asked]).toEqual([{ out: "", err: sentence }, []]);
  });
});
