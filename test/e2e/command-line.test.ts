import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { AUTH, TestFleet, untilVoters, type AgentProcess } from "#test/support/agents.ts";
import { Bundle } from "#test/support/bundle.ts";

// A cluster's life by the command line alone, as docs/OPERATIONS.md tells it: made, joined by token and by password, backed up, lost,
// recovered, completed again, and raised from a file. Agents and command are those that are installed: the bundle.

let bundle: Bundle;
beforeAll(async () => {
  bundle = await Bundle.make();
});
afterAll(async () => {
  await bundle[Symbol.asyncDispose]();
});

let fleet: TestFleet;
beforeEach(async () => {
  fleet = await TestFleet.create({ main: bundle.main });
});
afterEach(async () => {
  await fleet[Symbol.asyncDispose]();
});

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command on this agent's host. */
async function muster(agent: AgentProcess | null, ...argv: string[]): Promise<Said> {
  const at = agent === null ? [] : ["--url", `unix:${agent.socketPath}`];
  const child = spawn(process.execPath, [bundle.muster, ...argv, ...at], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  return { code: code as number, out, err };
}

/** The same, which must succeed; the last line that it prints. */
async function must(agent: AgentProcess, ...argv: string[]): Promise<string> {
  const { code, out, err } = await muster(agent, ...argv);
  expect({ argv, code, err }).toEqual({ argv, code: 0, err: "" });
  return out.trimEnd().split("\n").at(-1) ?? "";
}

function at({ address, apiPort }: AgentProcess): string {
  return `${address}:${apiPort}`;
}

/** An agent that makes no backups by itself. */
async function started(): Promise<AgentProcess> {
  const agent = await fleet.add({ MUSTER_BACKUP_INTERVAL_H: "0" });
  await agent.start();
  return agent;
}

test("a cluster is made, joined, backed up, lost and raised again by the command line alone", async () => {
  const [name = "", password = ""] = AUTH.split(":");
  const secret = join(fleet.root, "password");
  await writeFile(secret, `${password}\n`);
  const admin = ["--admin", name, "--admin-password-file", secret];
  const [first, second, third] = [await started(), await started(), await started()];

  expect(await must(first, "create", "my.cluster", ...admin)).toBe("this host is in the cluster as node 1");
  const token = join(fleet.root, "token");
  await writeFile(token, await must(first, "token", "create", "--ttl", "1h"));
  expect(await must(second, "join", "--token-file", token)).toBe("this host is in the cluster as node 2");
  const used = await muster(third, "join", "--token-file", token);
  expect([used.code, used.err]).toEqual([1, expect.stringMatching(/^muster: access_denied: /) as string]);
  expect(await must(third, "join", at(first), ...admin)).toBe("this host is in the cluster as node 3");
  await untilVoters([first, second, third], 3);

  const backup = join(fleet.root, "one.backup");
  expect(await must(third, "backup", "save", backup, "--newest")).toMatch(
    /: my\.cluster as of index \d+, checked$/,
  );
  expect((await stat(backup)).mode & 0o777).toBe(0o600);
  const inspected = await muster(null, "backup", "inspect", backup);
  expect([inspected.code, inspected.out]).toEqual([
    0,
    expect.stringMatching(/^3 +host-3 +127\.0\.0\.3 +- +active$/m) as string,
  ]);
  for (const hidden of [password, "stored_key", "salt"]) expect(inspected.out).not.toContain(hidden);

  // The majority dies. The survivor tells what it would do, does it, and keeps what it was in a backup.
  await second.stop("SIGKILL");
  await third.stop("SIGKILL");
  await first.until("knows no leader", async () => {
    const { leader, quorum } = (await first.get("/muster/v1/status")).json.registry;
    return leader === null && quorum === false;
  });
  const outline = await muster(first, "recover", "--dry-run");
  expect(outline.out).toContain(
    "This host would carry my.cluster on as node 1, incarnation 2. Nothing has been changed.",
  );
  expect(outline.out).toContain("host-2 (--uid 2), host-3 (--uid 3)");
  expect(await must(first, "recover")).toBe("this host is in the cluster as node 1");
  expect(await readdir(join(first.dir, "persist", "backups"))).toEqual([
    expect.stringMatching(/^muster-my\.cluster-.*\.backup$/) as string,
  ]);
  const again = await muster(first, "recover");
  expect([again.code, again.err]).toEqual([
    1,
    expect.stringMatching(/^muster: already_in_cluster: /) as string,
  ]);

  // A former member finds itself outside, and takes its place again; plain joins are refused meanwhile.
  await second.start();
  await second.until("is fenced", async () =>
    (await muster(second, "bootstrap")).out.startsWith("idle (the cluster was recovered"),
  );
  const plain = await muster(second, "join", at(first), ...admin);
  expect([plain.code, plain.err]).toEqual([
    1,
    expect.stringMatching(/repair_required: .*\(here: --uid \d\)\n$/) as string,
  ]);
  expect(await must(second, "join", at(first), ...admin, "--uid", "2")).toBe(
    "this host is in the cluster as node 2",
  );
  expect((await muster(first, "cluster", "get")).out).toMatch(/^incarnation +2, recovered /m);

  // All is gone but a file.
  for (const agent of [first, second]) await agent.stop("SIGKILL");
  for (const agent of [first, second, third]) await rm(agent.dir, { recursive: true });
  await first.start();
  const nothing = await muster(first, "recover");
  expect([nothing.code, nothing.err]).toEqual([
    1,
    expect.stringMatching(/^muster: config_error: recovery_filename/) as string,
  ]);
  await cp(backup, join(first.dir, "persist", "one.backup"));
  expect(await must(first, "recover", "--file", "one.backup", "--uid", "1")).toBe(
    "this host is in the cluster as node 1",
  );
  await second.start();
  expect(await must(second, "join", at(first), ...admin, "--uid", "2")).toBe(
    "this host is in the cluster as node 2",
  );
  const members = (await muster(second, "members")).out;
  expect(members).toMatch(/^host-1 +leader +alive/m);
  expect(members).toMatch(/^host-3 +learner +\w+, failed/m);
});

test("the bundle has all that it starts by path: a host's slow facts are told", async () => {
  const agent = await started();
  await agent.until("all facts are there", async () => {
    const { json } = await agent.get(`/muster/v1/hosts/${agent.name}`);
    return (json?.facts?.stale as string[] | undefined)?.length === 0;
  });
});
