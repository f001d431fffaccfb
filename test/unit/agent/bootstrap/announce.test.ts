import { beforeEach, expect, test } from "vitest";

import { FOUNDER, passwords } from "./fake-host.ts";
import { Announcer } from "#agent/bootstrap/announce.ts";
import type { NewMember } from "#shared/registry/command.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

const PEER = "12D3KooWSelf";
let registry: LocalRegistry;
let clock: FakeClock;
let apiUrls: string[];
let announcer: Announcer;
let submitted: string[];
let completed: boolean;

beforeEach(async () => {
  registry = new LocalRegistry();
  clock = new FakeClock();
  apiUrls = ["https://10.0.0.2:9443"];
  submitted = [];
  completed = true;
  const submit = registry.submit.bind(registry);
  registry.submit = (command, options) => {
    submitted.push(command.type);
    return submit(command, options);
  };
  const admin = { name: "admin", verifier: await passwords.derive("x") };
  const founder = member(FOUNDER);
  await submit(
    { type: "cluster.create", cluster_id: "c", name: "c", member: founder, admin, rack_aware: false },
    { by: "admin" },
  );
  const own = () =>
    completed ? { peer: PEER, meshAddrs: [`/dns4/${PEER}/tcp/1`], apiUrls, softwareVersion: "1.0.0" } : null;
  announcer = new Announcer({ registry, clock, log: new RecordingLog(), own });
});

function member(peer: string): NewMember {
  return {
    peer,
    uuid: `uuid-of-${peer}`,
    name: `name-of-${peer}`,
    addr: "10.0.0.2",
    external_addrs: [],
    mesh_addrs: [`/dns4/${peer}/tcp/1`],
    api_urls: [...apiUrls],
    rack_id: null,
    software_version: "1.0.0",
  };
}

const add = () => registry.submit({ type: "member.add", member: member(PEER) }, { by: "admin" });
const status = () => registry.state.members.get(PEER)?.status;

test("a joining host is activated, once", async () => {
  await add();
  announcer.start();
  await clock.until(() => status() === "active");
  announcer.check();
  await clock.advance(60_000);
  expect(submitted).toEqual(["member.add", "member.activate"]);
  await announcer[Symbol.asyncDispose]();
});

test("a host whose record is not here yet waits for it", async () => {
  announcer.start();
  await clock.advance(60_000);
  expect(submitted).toEqual([]);
  await add();
  await clock.until(() => status() === "active");
  await announcer[Symbol.asyncDispose]();
});

test("nothing is said before bootstrap is completed: what may vote must not be taken back", async () => {
  completed = false;
  announcer.start();
  await add();
  await clock.advance(60_000);
  expect(status()).toBe("joining");
  completed = true;
  announcer.check();
  await clock.until(() => status() === "active");
  await announcer[Symbol.asyncDispose]();
});

test("a change of addresses is told when the host says that it may have changed", async () => {
  await add();
  announcer.start();
  await clock.until(() => status() === "active");
  apiUrls = ["https://10.0.0.9:9443"];
  announcer.check();
  await clock.until(() => registry.state.members.get(PEER)?.api_urls[0] === apiUrls[0]);
  expect(submitted).toEqual(["member.add", "member.activate", "member.update"]);
  await announcer[Symbol.asyncDispose]();
});

test("without a majority it goes on trying, ever less often, until there is one", async () => {
  await add();
  registry.quorum = false;
  announcer.start();
  await clock.advance(0);
  await clock.advance(120_000);
  const tries = submitted.length - 1;
  expect(tries).toBeGreaterThan(5);
  expect(tries).toBeLessThan(15);
  registry.quorum = true;
  await clock.until(() => status() === "active", 31_000, 1000);
  await announcer[Symbol.asyncDispose]();
  expect(clock.timers).toBe(0);
});

test("closing ends it, in the middle of a wait too", async () => {
  await add();
  registry.quorum = false;
  announcer.start();
  await clock.advance(0);
  await clock.advance(1000);
  await announcer[Symbol.asyncDispose]();
  const tries = submitted.length;
  registry.quorum = true;
  await registry.submit({ type: "member.update", peer: PEER, api_urls: [] }, { by: "admin" });
  await clock.advance(60_000);
  expect(submitted).toHaveLength(tries + 1);
});
