import { describe, expect, test } from "vitest";

import { markAll } from "#shared/registry/fingerprint.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import type { RegistryState } from "#shared/registry/state.ts";

import { Replicas, type Host } from "./replicas.ts";

const MINUTE = 60_000;
/** So that every host soon has a snapshot. */
const EAGER = { snapshotEntries: 20, logTailEntries: 5 };

async function formed(options = {}): Promise<Replicas> {
  const replicas = await Replicas.form(4, options);
  for (let n = 1; n <= 30; n += 1) await replicas.zone(replicas.host(1), `z${n}`);
  await replicas.settled();
  return replicas;
}

function follower(replicas: Replicas): Host {
  const host = replicas.up.find((other) => other !== replicas.leader);
  if (host === undefined) throw new Error("there is no follower");
  return host;
}

const quarantines = (host: Host): number => host.log.matching("is in quarantine").length;
const same = (replicas: Replicas): boolean => new Set(replicas.registries()).size === 1;

/** As a defect or a flipped bit would: not through a reducer. */
function damage(host: Host): void {
  (host.replica.state as RegistryState).zones.set(7, { id: 7, name: "damaged" });
}

/** A snapshot that is whole and fits its hash, but is not what was agreed on. */
function damageSnapshot(host: Host): void {
  const { snapshot } = host.disk.seen;
  if (snapshot === null) throw new Error("there is no snapshot yet");
  const state = decodeState(Buffer.from(snapshot.body).toString());
  state.zones.set(7, { id: 7, name: "damaged" });
  markAll(state);
  host.disk.seen.snapshot = { ...snapshot, body: Buffer.from(encodeState(state)) };
  host.disk.durable.snapshot = host.disk.seen.snapshot;
}

describe("an agent whose state is not the others'", () => {
  test("notices a record that was changed in memory, and takes a copy of the others'", async () => {
    const replicas = await formed();
    const host = follower(replicas);
    damage(host);
    expect(same(replicas)).toBe(false);
    await replicas.clock.until(() => same(replicas), MINUTE);
    expect(quarantines(host)).toBe(1);
    await replicas.zone(host, "after");
    await replicas.settled();
    expect(same(replicas)).toBe(true);
    expect(host.replica.status()).toMatchObject({ halted: null, quarantined: false });
  });

  test("notices a wrong snapshot by comparison with the others, and begins from a right one after a restart", async () => {
    const replicas = await formed(EAGER);
    const host = follower(replicas);
    await replicas.kill(host);
    damageSnapshot(host);
    await replicas.restart(host);
    expect(host.replica.state.zones.get(7)?.name).toBe("damaged");
    await replicas.clock.until(() => host.replica.state.zones.get(7)?.name === "z7", MINUTE);
    await replicas.clock.until(() => !host.replica.status().quarantined, MINUTE);
    await replicas.kill(host);
    await replicas.restart(host);
    await replicas.settled();
    expect(host.replica.state.zones.get(7)?.name).toBe("z7");
    expect(same(replicas)).toBe(true);
    expect(replicas.hosts.map(quarantines).reduce((sum, count) => sum + count)).toBe(1);
  });

  test("is not believed because it leads: it hands over and takes the others' state", async () => {
    const replicas = await formed(EAGER);
    const { leader } = replicas;
    if (leader === null) throw new Error("nobody leads");
    damage(leader);
    await replicas.clock.until(() => quarantines(leader) === 1, MINUTE);
    await replicas.clock.until(() => replicas.leader !== leader, MINUTE);
    await replicas.clock.until(() => same(replicas), MINUTE);
    await replicas.zone(leader, "after");
  });

  test("answers no write and no read of now until it is repaired", async () => {
    const replicas = await formed();
    const host = follower(replicas);
    damage(host);
    for (const other of replicas.hosts) if (other !== host) replicas.mesh.leave(other.peer);
    await replicas.clock.until(() => host.replica.status().quarantined, MINUTE);
    await expect(replicas.zone(host, "no")).rejects.toMatchObject({ kind: "quorum_lost" });
    await expect(replicas.wait(host.replica.readBarrier({ timeoutMs: 1000 }))).rejects.toMatchObject({
      kind: "quorum_lost",
    });
    expect(host.replica.status().halted).toContain("zones/7");
  });

  test("agrees with the others again though they write all the while", async () => {
    const replicas = await formed(EAGER);
    const host = follower(replicas);
    const writer = replicas.up.find((other) => other !== host) ?? host;
    damage(host);
    let n = 0;
    await replicas.clock.until(
      () => {
        n += 1;
        void writer.replica.submit({ type: "zone.create", name: `w${n}` }, { by: "admin" });
        return quarantines(host) === 1 && !host.replica.status().quarantined;
      },
      MINUTE,
      100,
    );
    await replicas.settled();
    expect(same(replicas)).toBe(true);
  });
});

test("agents that agree leave each other alone", async () => {
  const replicas = await formed(EAGER);
  await replicas.clock.advance(2 * MINUTE);
  expect(replicas.hosts.map(quarantines)).toEqual([0, 0, 0, 0]);
  expect(replicas.hosts.flatMap(({ log }) => log.matching("could not be compared"))).toEqual([]);
});
