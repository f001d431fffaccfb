import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { FakeHost } from "./fake-host.ts";
import { attempt, failure, JoinBed, joinWith } from "./join-bed.ts";
import type { Wire } from "#agent/ports/transport.ts";
import { issue } from "#test/support/certificates.ts";

const root = await issue({ name: "root", ca: true });
const between = await issue({ name: "between", ca: true, issuer: root });
const admin = await issue({ name: "admin", issuer: between });
const rsa = await issue({ name: "admin", issuer: root, keys: "rsa" });
const viewer = await issue({ name: "viewer", issuer: root });
const other = await issue({ name: "admin", issuer: await issue({ name: "other root", ca: true }) });

const NONSENSE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const NODES = { nodes: ["10.0.0.1"] };
const ADMIN = { clientCert: admin.certificate + between.certificate, clientKey: admin.key };
const saying = (message: RegExp) => ({ message: expect.stringMatching(message) });

let bed: JoinBed;
let joiner: FakeHost;
beforeEach(async () => {
  bed = await JoinBed.make();
  joiner = await bed.newcomer("12D3KooWJoiner");
  // Certificates are of today.
  for (const { clock } of [bed.founder, joiner]) clock.jumpWall(Date.now() - clock.now());
});
afterEach(() => bed[Symbol.asyncDispose]());

const trust = (pem: string) =>
  bed.registry.submit({ type: "cluster.configure", trusted_ca: pem }, { by: "admin" });

describe("with an administrator's certificate", () => {
  test.each([
    ["EC, by one in between", ADMIN],
    ["RSA", { clientCert: rsa.certificate, clientKey: rsa.key }],
  ])("%s: a host joins without a password", async (_what, credentials) => {
    await trust(root.certificate);
    expect(await attempt(joiner, joinWith(credentials, NODES))).toMatchObject({ name: "completed" });
    expect(joiner.driver.uid).toBe(2);
  });

  test("the key is sent to nobody, kept by nobody and logged by nobody", async () => {
    await trust(root.certificate);
    const said: Wire[] = [];
    bed.strangers.meddle = ({ body }) => {
      said.push(body);
      return body;
    };
    await attempt(joiner, joinWith({ ...ADMIN, clientCert: ADMIN.clientKey + ADMIN.clientCert }, NODES));
    const everything = JSON.stringify([said, joiner.disk.durable, joiner.log.lines, bed.founder.log.lines]);
    expect(said).toHaveLength(5);
    const [, line = ""] = admin.key.split("\n");
    expect(line.length).toBeGreaterThan(40);
    expect(everything).not.toContain(line);
  });

  test("the address is asked with the authority that the joiner trusts", async () => {
    await trust(root.certificate);
    const credentials = { ...ADMIN, trustedCa: root.certificate };
    expect(await attempt(joiner, joinWith(credentials, NODES))).toMatchObject({ name: "completed" });
    expect(joiner.trusted).toEqual([root.certificate]);
  });
});

describe("refused, with the reason", () => {
  test("by a cluster that trusts no authority", async () => {
    expect(await attempt(joiner, joinWith(ADMIN, NODES))).toMatchObject(
      failure("access_denied", saying(/trusts no certificate authority yet: .*mtls_trusted_ca/)),
    );
  });

  test("one of another authority", async () => {
    await trust(root.certificate);
    const credentials = { clientCert: other.certificate, clientKey: other.key };
    expect(await attempt(joiner, joinWith(credentials, NODES))).toMatchObject(
      failure("access_denied", saying(/no authority that the cluster trusts/)),
    );
  });

  test("one whose name is no administrator's", async () => {
    await trust(root.certificate);
    const credentials = { clientCert: viewer.certificate, clientKey: viewer.key };
    expect(await attempt(joiner, joinWith(credentials, NODES))).toMatchObject(
      failure("access_denied", saying(/is viewer's; only an administrator/)),
    );
  });

  test("one that has ended, by the sponsor's clock", async () => {
    await trust(root.certificate);
    for (const { clock } of [bed.founder, joiner]) clock.jumpWall(2 * 86_400_000);
    expect(await attempt(joiner, joinWith(ADMIN, NODES))).toMatchObject(
      failure("access_denied", saying(/is valid from .* only/)),
    );
  });

  test.each([
    ["a key of another one", { ...ADMIN, clientKey: viewer.key }, "credentials.client_key"],
    ["no certificate in the text", { ...ADMIN, clientCert: NONSENSE }, "credentials.client_cert"],
    ["no authority in the text", { ...ADMIN, trustedCa: NONSENSE }, "credentials.trusted_ca"],
  ])("%s, before anybody is asked", async (_what, credentials, field) => {
    expect(await attempt(joiner, joinWith(credentials, NODES))).toMatchObject(
      failure("config_error", { field }),
    );
    expect(joiner.trusted).toEqual([]);
  });
});

test("somebody in the middle who passes on what is said with a certificate gets nothing", async () => {
  await trust(root.certificate);
  const evil = "12D3KooWEvil";
  const toFounder = bed.strangers.transportOf(evil, []);
  bed.strangers.handlers.set(evil, async (victim) => {
    const target = { peer: bed.founder.peer, meshAddrs: [] };
    await using real = await toFounder.openJoin(target, AbortSignal.timeout(10_000));
    const waiting = { timeoutMs: 10_000 };
    const hello = (await victim.receive(waiting)) as unknown as { member: object };
    await real.send({ ...hello, member: { ...hello.member, peer: evil } });
    await victim.send(await real.receive(waiting));
    await real.send(await victim.receive(waiting));
    await victim.send(await real.receive(waiting));
  });
  const attacker = Object.assign(Object.create(FakeHost.prototype) as FakeHost, { peer: evil });
  joiner.contacts.set("10.0.0.66", attacker);
  expect(await attempt(joiner, joinWith(ADMIN, { nodes: ["10.0.0.66"] }))).toMatchObject(
    failure("access_denied", saying(/does not have the key/)),
  );
  expect(bed.registry.state.members.size).toBe(1);
});
