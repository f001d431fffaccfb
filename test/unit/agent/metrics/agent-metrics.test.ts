import { describe, expect, test } from "vitest";

import { AgentMetrics } from "#agent/metrics/agent-metrics.ts";
import { epochMs, type EpochMs } from "#shared/lib/time.ts";
import { FakeBootstrap } from "#test/support/fake-bootstrap.ts";
import { FakeMembership } from "#test/support/fake-membership.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";

async function made() {
  const registry = new LocalRegistry();
  const membership = new FakeMembership("peer-1");
  const bootstrap = new FakeBootstrap({ at: 0 as never });
  await registry.submit(makeCluster(makeMember(1)), { by: "agent" });
  await registry.submit({ type: "member.add", member: makeMember(2) }, { by: "agent" });
  await registry.submit({ type: "zone.create", name: 'a "quoted" zone' }, { by: "agent" });
  const transport = { self: "peer-1", connected: () => ["peer-2"] };
  const backups: { lastSuccessAt: EpochMs | null; failures: number } = { lastSuccessAt: null, failures: 0 };
  const deps = { registry, membership, bootstrap, transport, backups };
  const metrics = new AgentMetrics(deps, { version: "1.2.3" });
  return { registry, membership, bootstrap, backups, metrics };
}

/** Value of each sample, by its name and labels. */
async function samples(metrics: AgentMetrics): Promise<ReadonlyMap<string, number>> {
  const lines = (await metrics.render()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(" ");
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

describe("numbers for a monitoring system", () => {
  test("say how the registry on this agent is", async () => {
    const { registry, metrics } = await made();
    const now = await samples(metrics);
    expect(now.get("muster_registry_leader")).toBe(registry.status().role === "leader" ? 1 : 0);
    expect(now.get("muster_registry_applied_index")).toBe(registry.state.index);
    expect(now.get("muster_registry_zones")).toBe(1);
    expect(now.get("muster_registry_writable")).toBe(1);
    expect(now.get("muster_registry_halted")).toBe(0);
    expect(now.get('muster_build_info{version="1.2.3"}')).toBe(1);
    expect(now.get("process_resident_memory_bytes")).toBeGreaterThan(1e6);
  });

  test("leave out what is not known", async () => {
    const { registry, metrics } = await made();
    expect((await samples(metrics)).has("muster_registry_age_seconds")).toBe(true);
    registry.quorum = false;
    const now = await samples(metrics);
    expect(now.has("muster_registry_age_seconds")).toBe(false);
    expect(now.get("muster_registry_writable")).toBe(0);
    expect(now.has('muster_peer_rtt_seconds{host="tnt2.public.i"}')).toBe(false);
  });

  test("tell of every other member, until it is removed", async () => {
    const { registry, membership, metrics } = await made();
    const view = {
      ...membership.view("peer-2"),
      liveness: "alive",
      rttMs: 2,
      clockOffsetMs: -300,
      clockAlarm: true,
    } as const;
    membership.views.set("peer-2", view);
    const host = '{host="tnt2.public.i"}';
    const now = await samples(metrics);
    expect(now.get(`muster_peer_rtt_seconds${host}`)).toBe(0.002);
    expect(now.get(`muster_peer_clock_offset_seconds${host}`)).toBe(-0.3);
    expect(now.get(`muster_peer_clock_alarm${host}`)).toBe(1);
    expect(now.get(`muster_peer_alive${host}`)).toBe(1);
    expect(now.get('muster_members{liveness="alive"}')).toBe(2);
    await registry.submit({ type: "member.remove", peer: "peer-2" }, { by: "agent" });
    expect([...(await samples(metrics)).keys()].filter((name) => name.includes("tnt2"))).toEqual([]);
  });

  test("tell when the newest backup was taken, and how many failed", async () => {
    const { backups, metrics } = await made();
    const before = await samples(metrics);
    expect(before.has("muster_backup_last_success_timestamp_seconds")).toBe(false);
    expect(before.get("muster_backup_failures_total")).toBe(0);
    backups.lastSuccessAt = epochMs(1_700_000_000_500);
    backups.failures = 2;
    const now = await samples(metrics);
    expect(now.get("muster_backup_last_success_timestamp_seconds")).toBe(1_700_000_000.5);
    expect(now.get("muster_backup_failures_total")).toBe(2);
    expect((await samples(metrics)).get("muster_backup_failures_total")).toBe(2);
  });

  test("tell of a full disk, and that nothing can be written then", async () => {
    const { registry, metrics } = await made();
    expect((await samples(metrics)).get("muster_registry_disk_full")).toBe(0);
    const well = registry.status();
    const diskFull = { host: "host-1", path: "/data", free_bytes: 1, needed_bytes: 2 };
    registry.status = () => ({ ...well, diskFull });
    const now = await samples(metrics);
    expect([now.get("muster_registry_disk_full"), now.get("muster_registry_writable")]).toEqual([1, 0]);
  });

  test("count failed members and say where the bootstrap stands", async () => {
    const { registry, bootstrap, metrics } = await made();
    await registry.submit({ type: "member.activate", peer: "peer-2" }, { by: "agent" });
    await registry.submit({ type: "member.set_failed", peer: "peer-2", failed: true }, { by: "agent" });
    const now = await samples(metrics);
    expect(now.get("muster_members_failed")).toBe(1);
    expect(now.get(`muster_bootstrap_state{state="${bootstrap.state.name}"}`)).toBe(1);
  });

  test("count answered requests", async () => {
    const { metrics } = await made();
    const request = { dialect: "native", method: "GET", status: 200 };
    metrics.answered({ ...request, seconds: 0.004 });
    metrics.answered({ ...request, seconds: 0.2 });
    const now = await samples(metrics);
    expect(now.get('muster_http_requests_total{dialect="native",method="GET",status="200"}')).toBe(2);
    expect(now.get('muster_http_request_duration_seconds_bucket{le="0.005",dialect="native"}')).toBe(1);
    expect(now.get('muster_http_request_duration_seconds_count{dialect="native"}')).toBe(2);
  });
});
