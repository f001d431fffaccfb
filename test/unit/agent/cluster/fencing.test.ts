import { describe, expect, test } from "vitest";

import { Fence } from "#agent/bootstrap/fence.ts";
import { Cluster } from "#agent/cluster.ts";
import { MembershipDriver } from "#agent/membership/driver.ts";
import { Replica } from "#agent/registry/replica.ts";
import { RaftCore } from "#shared/consensus/core.ts";
import { isKind } from "#shared/errors/app-error.ts";
import { epochMs } from "#shared/lib/time.ts";
import { Prng } from "#shared/lib/prng.ts";
import { recovered } from "#shared/registry/recovery.ts";
import { FakeBootstrap } from "#test/support/fake-bootstrap.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeMesh } from "#test/support/fake-mesh.ts";
import { MemoryDisk, openMemoryStores } from "#test/support/memory-store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";

const BY = { by: "admin" } as const;
const identity = (uid: number) => ({ clusterId: "c1", incarnation: 1, uid, contacts: [] });

/** Agents as the composition root builds them, but for what bootstrap needs of the host. */
class Bed {
  readonly clock = new FakeClock();
  readonly mesh = new FakeMesh({ clock: this.clock });
  readonly #prng = new Prng(3);

  agent(n: number) {
    const peer = `peer-${n}`;
    const disk = new MemoryDisk();
    const transport = this.mesh.join(peer);
    const log = new RecordingLog();
    const deps = { transport, clock: this.clock, log, random: () => this.#prng.next() };
    const membership = new MembershipDriver(deps, { starts: 1 });
    const replica = new Replica({
      ...deps,
      stores: openMemoryStores(disk),
      createCore: (options, start) => new RaftCore(options, start),
      membership: { isAlive: () => true, self: () => ({ score: 0, loopDelayMs: 0 }) },
      session: 1,
    });
    const cluster = new Cluster({ registry: replica, transport, membership, clock: this.clock });
    const at = { startedAt: epochMs(0), endedAt: epochMs(0) };
    const bootstrap = new FakeBootstrap({ at: epochMs(0) });
    bootstrap.state = { name: "completed", action: "join_cluster", attempt: 1, ...at };
    const removed = async (reason: string): Promise<void> => {
      bootstrap.state = { name: "idle", reason };
      await cluster.forget();
    };
    const out = { ...deps, registry: replica, participation: cluster };
    new Fence({ ...out, bootstrap: Object.assign(bootstrap, { removed }) }).start();
    return { n, peer, disk, log, replica, cluster, bootstrap };
  }

  async wait<T>(promise: Promise<T>): Promise<T> {
    let open = true;
    const seen = promise.finally(() => (open = false));
    seen.catch(() => undefined);
    await this.clock.until(() => !open);
    return seen;
  }
}

type Agent = ReturnType<Bed["agent"]>;

/** Three voters, of which the third has been apart since "before" was written. */
async function threeVoters() {
  const bed = new Bed();
  const agents = [bed.agent(1), bed.agent(2), bed.agent(3)] as const;
  const [first, second, third] = agents;
  await bed.wait(first.cluster.found(identity(1)));
  await bed.wait(first.replica.submit(makeCluster(makeMember(1)), BY));
  for (const { n, cluster, peer } of [second, third]) {
    await bed.wait(first.replica.submit({ type: "member.add", member: makeMember(n) }, BY));
    await bed.wait(cluster.follow(identity(n)));
    await bed.wait(first.replica.submit({ type: "member.activate", peer }, BY));
  }
  await bed.clock.until(() => agents.every(({ replica }) => replica.status().config.voters.length === 3));
  await bed.wait(first.replica.submit({ type: "zone.create", name: "before" }, BY));
  await bed.clock.until(() => third.replica.state.zones.size === 1);
  return { bed, agents };
}

async function recover(bed: Bed, { n, cluster }: Agent): Promise<void> {
  const copy = await bed.wait(cluster.copy());
  if (copy === null) throw new Error("nothing is held");
  const incarnation = copy.identity.incarnation + 1;
  const state = recovered(copy.state, { member: makeMember(n), uid: null, at: bed.clock.now(), incarnation });
  await bed.wait(cluster.recover({ ...copy.identity, incarnation, lineage: "l" }, state));
}

const zones = ({ replica }: Agent): string[] => [...replica.state.zones.values()].map(({ name }) => name);

describe("a majority that goes on in the earlier incarnation", () => {
  test("is fenced as soon as it meets the later one, and acknowledges nothing any more", async () => {
    const { bed, agents } = await threeVoters();
    const [, , third] = agents;
    const stragglers = agents.slice(0, 2);
    bed.mesh.cut(
      [third.peer],
      stragglers.map(({ peer }) => peer),
    );
    await recover(bed, third);
    await bed.wait(third.replica.submit({ type: "zone.create", name: "after" }, BY));
    // They have a leader and a majority, and what they acknowledge is lost: the operator had it so.
    await bed.clock.until(() => stragglers.some(({ replica }) => replica.status().role === "leader"));
    const leader = stragglers.find(({ replica }) => replica.status().role === "leader") as Agent;
    const doomed = await bed.wait(leader.replica.submit({ type: "zone.create", name: "doomed" }, BY));
    expect(doomed.result.ok).toBe(true);

    const answers: { readonly met: boolean; readonly what: string }[] = [];
    let met = false;
    let n = 0;
    const writing = (async () => {
      while (n < 60) {
        n += 1;
        await leader.replica
          .submit({ type: "zone.create", name: `more ${n}` }, { ...BY, timeoutMs: 3000 })
          .then(
            () => answers.push({ met, what: "acknowledged" }),
            (error: unknown) => {
              if (!isKind(error, "not_in_cluster") && !isKind(error, "outcome_unknown")) throw error;
              answers.push({ met, what: "refused" });
            },
          );
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await bed.clock.until(() => n > 10);
    met = true;
    bed.mesh.heal();
    await bed.clock.until(() => stragglers.every(({ bootstrap }) => bootstrap.state.name === "idle"));
    await bed.wait(writing);
    expect(answers.filter((answer) => !answer.met && answer.what === "acknowledged").length).toBeGreaterThan(
      5,
    );
    expect(answers.filter((answer) => answer.met && answer.what === "acknowledged")).toEqual([]);
    for (const { replica, disk, bootstrap, n: uid } of stragglers) {
      expect(bootstrap.state).toMatchObject({ reason: expect.stringContaining(`uid ${uid} `) });
      expect(disk.durable.cluster).toBeNull();
      expect(replica.state.members.size).toBe(0);
      await expect(replica.readBarrier({ timeoutMs: 100 })).rejects.toMatchObject({ kind: "not_in_cluster" });
    }
    await bed.wait(third.replica.submit({ type: "zone.create", name: "still here" }, BY));
    expect(zones(third)).toEqual(["before", "after", "still here"]);
    expect(third.replica.status()).toMatchObject({ role: "leader", config: { voters: [third.peer] } });
  });

  test("cannot reach the recovered one with anything that was under way to it", async () => {
    const { bed, agents } = await threeVoters();
    const [first, second, third] = agents;
    bed.mesh.latencyMs = 400; // Appends, votes and answers of the former life are on their way when it ends.
    await bed.clock.advance(2000);
    bed.mesh.cut([third.peer], [first.peer, second.peer], { oneWay: true });
    const { term: before } = third.replica.status();
    await recover(bed, third);
    const { term } = third.replica.status();
    await bed.clock.advance(5000);
    expect(third.replica.status()).toMatchObject({ role: "leader", term });
    expect(term).toBeGreaterThan(before);
  });

  test("hears nothing of a recovery that could not be written", async () => {
    const { bed, agents } = await threeVoters();
    const [first, second, third] = agents;
    third.disk.broken = new Error("EIO");
    await expect(recover(bed, third)).rejects.toThrow("EIO");
    await bed.clock.advance(2000);
    expect(agents.map(({ bootstrap }) => bootstrap.state.name)).toEqual([
      "completed",
      "completed",
      "completed",
    ]);
    expect(third.cluster.identity?.incarnation).toBe(1);
    expect(bed.mesh.linked(third.peer, first.peer)).toBe(true);
    await bed.clock.until(() => second.replica.status().leader !== null);
    await bed.wait(second.replica.submit({ type: "zone.create", name: "as ever" }, BY));
  });

  test("is not believed in by those who know nothing of who says so", async () => {
    const { bed, agents } = await threeVoters();
    const stranger = bed.mesh.join("peer-9");
    stranger.setCluster({ clusterId: "c1", incarnation: 7, lineage: "x" });
    await bed.clock.advance(2000);
    expect(agents.map(({ bootstrap }) => bootstrap.state.name)).toEqual([
      "completed",
      "completed",
      "completed",
    ]);
    await bed.wait(agents[0].replica.submit({ type: "zone.create", name: "as ever" }, BY));
  });
});
