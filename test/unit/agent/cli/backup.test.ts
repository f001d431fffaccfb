import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { packBackup } from "#agent/backup/form.ts";
import { inspectBackup, inspectedText } from "#agent/cli/backup-inspect.ts";
import { saveBackup } from "#agent/cli/backup-save.ts";
import type { Target } from "#agent/cli/client.ts";
import { epochMs } from "#shared/lib/time.ts";
import type { RegistryState } from "#shared/registry/state.ts";
import { makeCluster, makeMember, RegistryLog, VERIFIER } from "#test/support/registry-log.ts";

const AT = epochMs(Date.UTC(2026, 10, 21, 19, 30));
const LOGIN = "only-the-engine-knows-this";

let dir: string;
let server: Server;
let target: Target;
let urls: string[];
/** What the agent answers to whoever asks for a backup. */
let sends: { status: number; body: string | Buffer; digest?: string; breaksOff?: true };

function state(): RegistryState {
  const log = new RegistryLog();
  log.must({ ...makeCluster(makeMember(1, { rack_id: "a" })), license: LOGIN } as never);
  const uuid = "00000000-0000-4000-8000-000000000002";
  log.must({ type: "member.add", member: makeMember(2, { uuid }) });
  log.must({ type: "member.activate", peer: "peer-2" });
  log.must({ type: "member.set_failed", peer: "peer-2", failed: true });
  log.must({ type: "zone.create", name: "hall" });
  const cfg = { secret: LOGIN };
  log.must({ type: "node.register", uuid, zone_id: 1, uri: `${LOGIN}@h:1`, user: LOGIN, cfg } as never);
  log.must({ type: "user.create", name: "eve", role: "viewer", verifier: VERIFIER });
  return log.state;
}

function packed(host = "host-1"): string {
  const maker = { host, softwareVersion: "1.2.3", at: AT };
  return packBackup(state(), { clusterId: "cluster-1", incarnation: 1 }, maker).bytes.toString();
}

const digestOf = (body: string | Buffer): string =>
  `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "muster-cli-backup-"));
  urls = [];
  sends = { status: 200, body: packed() };
  server = createServer((request, response) => {
    urls.push(request.url ?? "");
    const { status, body, digest = digestOf(body), breaksOff } = sends;
    response.writeHead(status, { "repr-digest": digest, "content-length": Buffer.byteLength(body) });
    if (breaksOff === undefined) return void response.end(body);
    response.write(body.slice(0, 100), () => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  target = { url: `http://127.0.0.1:${port}`, credentials: null, insecure: false };
});
afterEach(() => {
  server.close();
  rmSync(dir, { recursive: true });
});

const file = (name = "one.backup"): string => join(dir, name);

describe("saving a backup", () => {
  test("gives a file for this user alone, as the agent sent it", async () => {
    const head = await saveBackup(target, file(), { newest: false });
    expect(readFileSync(file(), "utf8")).toBe(sends.body);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(head).toMatchObject({ cluster_name: "test", host: "host-1" });
    await saveBackup(target, file("two.backup"), { newest: true });
    expect(urls).toEqual(["/muster/v1/backup", "/muster/v1/backup?consistency=linearizable"]);
  });

  test("overwrites nothing, and asks nobody then", async () => {
    writeFileSync(file(), "mine");
    await expect(saveBackup(target, file(), { newest: false })).rejects.toThrow(
      `${file()} exists; a backup overwrites nothing`,
    );
    expect([readFileSync(file(), "utf8"), urls]).toEqual(["mine", []]);
    await expect(saveBackup(target, join(dir, "no", "such"), { newest: false })).rejects.toThrow(
      /cannot be written \(ENOENT\)/,
    );
  });

  test("leaves no file when the agent refuses, breaks off, or sends what is not right", async () => {
    const save = () => saveBackup(target, file(), { newest: false });
    sends = {
      status: 403,
      body: '{"error":{"code":"forbidden","message":"this needs the right to write","facts":{}}}',
    };
    await expect(save()).rejects.toThrow("this needs the right to write");
    sends = { status: 401, body: "{}" };
    await expect(save()).rejects.toThrow(/wants credentials: give --user/);
    sends = { status: 200, body: packed(), breaksOff: true };
    await expect(save()).rejects.toThrow(/gives no answer/);
    sends = { status: 200, body: packed(), digest: digestOf("something else") };
    await expect(save()).rejects.toThrow("what came is not what the agent sent");
    sends = { status: 200, body: packed().replace('"hall"', '"hull"') };
    await expect(save()).rejects.toThrow("what the agent sent is damaged: its checksum is wrong");
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe("looking into a backup", () => {
  test("tells what is in it, and nothing that is secret", async () => {
    writeFileSync(file(), packed());
    const found = await inspectBackup(file());
    expect(found).toMatchObject({
      problem: null,
      head: { cluster_name: "test", incarnation: 1, host: "host-1" },
      content: {
        licensed: true,
        members: [
          { uid: 1, name: "tnt1.public.i", addr: "10.0.0.1", rack_id: "a", failed_since_ms: null },
          {
            uid: 2,
            name: "tnt2.public.i",
            addr: "10.0.0.2",
            rack_id: null,
            failed_since_ms: expect.any(Number) as number,
          },
        ],
        users: [
          { name: "admin@example.com", role: "admin" },
          { name: "eve", role: "viewer" },
        ],
        counts: { zones: 1, nodes: 1, tokens: 0 },
      },
    });
    const text = inspectedText(found);
    expect(text).toContain("condition         whole, its checksum is right\n");
    expect(text).toMatch(/^taken +2026-11-21T19:30:00Z on host-1, muster 1\.2\.3$/m);
    expect(text).toMatch(/^2 +tnt2\.public\.i +10\.0\.0\.2 +- +failed$/m);
    expect(text).toMatch(/^eve +viewer$/m);
    for (const shown of [text, JSON.stringify(found)]) {
      for (const secret of [LOGIN, VERIFIER.salt, VERIFIER.stored_key, VERIFIER.server_key]) {
        expect(shown).not.toContain(secret);
      }
    }
  });

  test("says clearly what must not be used, and shows nothing of its content", async () => {
    writeFileSync(file(), packed().replace('"hall"', '"hull"'));
    const changed = await inspectBackup(file());
    expect([changed.content, changed.problem]).toEqual([
      null,
      "is damaged: its checksum is wrong; use another backup",
    ]);
    expect(inspectedText(changed)).toMatch(
      /^condition +MUST NOT BE USED: it is damaged: its checksum is wrong/m,
    );
    expect(inspectedText(changed)).toMatch(/^cluster +test \(cluster-1\)$/m);
    writeFileSync(file(), packed("host-1").replace('"host-1"', '"host-2"'));
    expect((await inspectBackup(file())).problem).toMatch(/checksum is wrong/);
    writeFileSync(file(), packed());
    truncateSync(file(), statSync(file()).size - 1);
    expect((await inspectBackup(file())).problem).toMatch(/^is damaged: \d+ bytes follow its first line/);
    writeFileSync(file(), "no backup\n");
    expect(await inspectBackup(file())).toMatchObject({
      head: null,
      problem: expect.stringMatching(/^is no backup/) as string,
    });
  });

  test("a file that is none is told", async () => {
    await expect(inspectBackup(file("missing"))).rejects.toThrow(/missing cannot be read \(ENOENT\)/);
    mkdirSync(file("folder"));
    await expect(inspectBackup(file("folder"))).rejects.toThrow(/folder is no file/);
  });
});
