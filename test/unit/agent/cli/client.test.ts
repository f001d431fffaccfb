import { createServer, type Server } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createNetServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { call, demand, NoAnswer, succeed, type Target } from "#agent/cli/client.ts";
import { listMembers, membersTable } from "#agent/cli/members.ts";

const dir = mkdtempSync(join(tmpdir(), "muster-cli-"));
const MEMBER = {
  name: "host-1",
  uid: 1,
  peer: "12D3",
  uuid: "6f1c4e0e-2f0c-4b8e-9a51-0c7a4a0b9a10",
  role: "leader",
  status: "active",
  liveness: "alive",
  addr: "10.0.0.1",
  external_addrs: [],
  api_urls: ["unix:/x", "https://10.0.0.1:9443"],
  mesh_addrs: [],
  rack_id: "a",
  failed_since_ms: 5,
  took_over_at_ms: null,
  etag: null,
  software_version: "0.1.0",
  added_at_ms: 1,
  cores: 4,
  total_memory: 8 * 1024 ** 3,
};

/** An agent as far as the command line sees one: answers by path, echoes what it was sent. */
function handler(): Server {
  return createServer((request, response) => {
    const answers: Record<string, [number, string]> = {
      "/muster/v1/members": [200, JSON.stringify({ members: [{ ...MEMBER, from_a_newer_version: true }] })],
      "/refused": [409, '{"error":{"code":"change_refused","message":"cannot do that: why","facts":{}}}'],
      "/secret": [401, "{}"],
      "/broken": [503, '{"error":{"message":"no majority"}}'],
      "/no-json": [200, "<html>"],
    };
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method, headers } = request;
      const echo = { method, auth: headers.authorization ?? null, body: Buffer.concat(chunks).toString() };
      const [status, text] = answers[request.url ?? ""] ?? [200, JSON.stringify(echo)];
      response.writeHead(status).end(text);
    });
  });
}

const servers = [handler(), handler()] as const;
let overTcp: Target;
const overUnix: Target = { url: `unix:${join(dir, "muster.sock")}`, credentials: null, insecure: false };

beforeAll(async () => {
  await new Promise<void>((up) => servers[0].listen(0, "127.0.0.1", up));
  await new Promise<void>((up) => servers[1].listen(join(dir, "muster.sock"), up));
  const { port } = servers[0].address() as AddressInfo;
  overTcp = { url: `http://127.0.0.1:${port}`, credentials: null, insecure: false };
});

afterAll(() => {
  for (const server of servers) server.close();
  rmSync(dir, { recursive: true });
});

describe("a call", () => {
  test("sends a body and credentials, over TCP and over a unix socket", async () => {
    const credentials = { username: "me@example.com", password: "a:b ü" };
    const auth = `Basic ${Buffer.from("me@example.com:a:b ü").toString("base64")}`;
    for (const target of [overTcp, overUnix]) {
      const { status, json } = await call({ ...target, credentials }, "POST", "/echo", { a: 1 });
      expect([status, json]).toEqual([200, { method: "POST", auth, body: '{"a":1}' }]);
    }
  });

  test("any status is an answer; a body that is no JSON is null", async () => {
    expect(await call(overTcp, "GET", "/broken")).toMatchObject({ status: 503 });
    expect(await call(overTcp, "GET", "/no-json")).toMatchObject({ status: 200, json: null, text: "<html>" });
  });

  test("nobody there, and nobody who speaks HTTP", async () => {
    const nowhere = { ...overUnix, url: `unix:${join(dir, "nobody.sock")}` };
    await expect(call({ ...overTcp, url: "one:9443" }, "GET", "/")).rejects.toThrow(
      "one:9443 is none of https:",
    );
    await expect(call(nowhere, "GET", "/")).rejects.toThrow(
      /nobody\.sock gives no answer: nobody listens there/,
    );
    const mute = createNetServer((socket) => socket.destroy());
    await new Promise<void>((up) => mute.listen(0, "127.0.0.1", up));
    const url = `http://127.0.0.1:${(mute.address() as AddressInfo).port}`;
    await expect(call({ ...overTcp, url }, "GET", "/")).rejects.toBeInstanceOf(NoAnswer);
    mute.close();
  });
});

describe("succeed", () => {
  test("says what to do without credentials, and repeats what the agent said", async () => {
    await expect(succeed(overTcp, "GET", "/secret")).rejects.toThrow(
      /wants credentials: give --user and --password-file/,
    );
    const credentials = { username: "me", password: "wrong" };
    await expect(succeed({ ...overTcp, credentials }, "GET", "/secret")).rejects.toThrow(
      "does not accept these credentials",
    );
    await expect(succeed(overTcp, "GET", "/broken")).rejects.toThrow(
      /answered 503 to GET \/broken: .*no majority/,
    );
  });
});

describe("demand", () => {
  test("an agent's refusal is told in the agent's own words", async () => {
    await expect(demand(overTcp, "POST", "/refused", () => ({}))).rejects.toThrow(/^cannot do that: why$/);
  });

  test("sends method and body, and hands over what could be read", async () => {
    const echo = await demand(overUnix, "PATCH", "/any", (body) => body, { a: 1 });
    expect(echo).toMatchObject({ method: "PATCH", body: '{"a":1}' });
  });
});

describe("members", () => {
  test("are read from an agent of a newer version, too, and shown as a table", async () => {
    const lines = membersTable(await listMembers(overUnix)).split("\n");
    expect(lines).toEqual([
      "NAME    ROLE    STATUS         ZONE  CORES  MEMORY   ADDRESS   URL",
      "host-1  leader  alive, failed  a     4      8.0 GiB  10.0.0.1  https://10.0.0.1:9443",
    ]);
  });

  test("an answer in another form is refused, not shown", async () => {
    const odd = createServer((_request, response) => response.end('{"members":[{"name":7}]}'));
    await new Promise<void>((up) => odd.listen(0, "127.0.0.1", up));
    const url = `http://127.0.0.1:${(odd.address() as AddressInfo).port}`;
    await expect(listMembers({ ...overTcp, url })).rejects.toThrow(/unknown form/);
    odd.close();
  });
});
