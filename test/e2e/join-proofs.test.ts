import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { decodeToken } from "#agent/bootstrap/token.ts";
import { AUTH, TestFleet, type AgentProcess } from "#test/support/agents.ts";
import { issue } from "#test/support/certificates.ts";

import { membersOf } from "./cluster-view.ts";

// The ways to join without a password, with real agents. They log all they can, and none of it may be a secret.

let fleet: TestFleet;
beforeEach(async () => {
  fleet = await TestFleet.create();
});
afterEach(async () => {
  await fleet[Symbol.asyncDispose]();
});

const TALKATIVE = { MUSTER_LOG_LEVEL: "trace" };

async function founder(prepare: (agent: AgentProcess) => Promise<void> = async () => undefined) {
  const agent = await fleet.add(TALKATIVE);
  await prepare(agent);
  await agent.start();
  await agent.create();
  await agent.untilState("completed");
  return agent;
}

async function fresh(): Promise<AgentProcess> {
  const agent = await fleet.add(TALKATIVE);
  await agent.start();
  return agent;
}

async function newToken(agent: AgentProcess): Promise<{ readonly id: string; readonly token: string }> {
  const made = await agent.post("/muster/v1/tokens", { ttl_s: 600, note: "for a test" });
  expect(made.status).toBe(201);
  return made.json as { id: string; token: string };
}

function joinWith(agent: AgentProcess, credentials: object, nodes: readonly AgentProcess[] = []) {
  return agent.call("/v1/bootstrap/join_cluster", {
    method: "POST",
    body: {
      action: "join_cluster",
      cluster: { nodes: nodes.map(({ address, apiPort }) => `${address}:${apiPort}`) },
      credentials,
    },
  });
}

/** Waits for the attempt to fail, and answers with what is told. */
async function failed(
  agent: AgentProcess,
): Promise<{ error_code: string; error_details: { message: string } }> {
  const answer = await agent.untilState("error");
  return answer.json.bootstrap_status as never;
}

test("a token lets one host in and no second one; it stands in no log, at whatever level", async () => {
  const first = await founder();
  const { id, token } = await newToken(first);
  const [second, third] = [await fresh(), await fresh()];

  const rehearsal = await second.call("/v1/bootstrap/validate/join_cluster", {
    method: "POST",
    body: { action: "join_cluster", cluster: { nodes: [] }, credentials: { token } },
  });
  expect([rehearsal.status, rehearsal.text]).toEqual([200, expect.anything()]);
  expect(await membersOf(first)).toHaveLength(1);

  expect((await joinWith(second, { token })).status).toBe(200);
  await second.untilState("completed");
  expect((await membersOf(second)).map(({ name }) => name)).toEqual(["host-1", "host-2"]);

  expect((await joinWith(third, { token })).status).toBe(200);
  expect(await failed(third)).toMatchObject({
    error_code: "access_denied",
    error_details: { message: "this join token was used by host-2 already; each host needs its own" },
  });

  const list = (await second.get("/muster/v1/tokens")).json;
  expect(list.tokens).toEqual([
    expect.objectContaining({
      id,
      state: "used",
      note: "for a test",
      used_by: expect.objectContaining({ name: "host-2" }),
    }),
  ]);
  const another = await newToken(second);
  expect((await first.call(`/muster/v1/tokens/${another.id}`, { method: "DELETE", auth: AUTH })).status).toBe(
    204,
  );
  expect((await joinWith(third, { token: another.token })).status).toBe(200);
  expect(await failed(third)).toMatchObject({
    error_code: "access_denied",
    error_details: { message: expect.stringContaining("may have been revoked") },
  });

  for (const agent of [first, second, third]) {
    expect(agent.output.length).toBeGreaterThan(1000);
    for (const text of [token, another.token]) {
      const { secret } = decodeToken(text);
      for (const hidden of [text, text.slice(8, 80), secret]) expect(agent.output).not.toContain(hidden);
    }
  }
});

test("an administrator's certificate lets hosts in, by an agent that proves itself by the same authority", async () => {
  const root = await issue({ name: "root", ca: true });
  const admin = await issue({ name: "admin@example.com", issuer: root, keys: "rsa" });
  const stranger = await issue({
    name: "admin@example.com",
    issuer: await issue({ name: "other", ca: true }),
  });
  const first = await founder(async (agent) => {
    const served = await issue({ name: agent.name, issuer: root });
    await mkdir(agent.dir, { recursive: true });
    await writeFile(join(agent.dir, "api-certificate.pem"), served.certificate);
    await writeFile(join(agent.dir, "api-key.pem"), served.key, { mode: 0o600 });
  });
  const second = await fresh();
  const shown = { client_cert: admin.certificate, client_key: admin.key, trusted_ca: root.certificate };

  await joinWith(second, shown, [first]);
  expect(await failed(second)).toMatchObject({
    error_code: "access_denied",
    error_details: { message: expect.stringContaining("trusts no certificate authority yet") },
  });

  const trusting = { method: "PUT", body: { mtls_trusted_ca: root.certificate }, auth: AUTH };
  expect((await first.call("/v1/cluster", trusting)).status).toBe(200);
  await joinWith(second, { ...shown, client_cert: stranger.certificate, client_key: stranger.key }, [first]);
  expect(await failed(second)).toMatchObject({
    error_code: "access_denied",
    error_details: { message: expect.stringContaining("no authority that the cluster trusts") },
  });

  await joinWith(second, shown, [first]);
  await second.untilState("completed");
  expect(await membersOf(first)).toHaveLength(2);

  // The second agent's own certificate is nobody's: who wants a proof gets none from it.
  const third = await fresh();
  await joinWith(third, shown, [second]);
  expect(await failed(third)).toMatchObject({
    error_code: "connect_error",
    error_details: {
      tried: [{ cause: "its certificate does not come from credentials.trusted_ca" }],
    },
  });

  const [, line = ""] = admin.key.split("\n");
  for (const agent of [first, second, third]) expect(agent.output).not.toContain(line);
});
