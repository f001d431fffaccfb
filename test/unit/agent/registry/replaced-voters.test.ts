import { describe, expect, test } from "vitest";

import { makeMember } from "#test/support/registry-log.ts";

import { Replicas, type Host } from "./replicas.ts";

function leaderOf(replicas: Replicas): Host {
  const { leader } = replicas;
  if (leader === null) throw new Error("nobody leads");
  return leader;
}

/** A cluster of `count` that all vote, of which one that does not lead is dead and has failed. */
async function oneLost(count: number): Promise<{ readonly replicas: Replicas; readonly lost: Host }> {
  const replicas = await Replicas.form(count, { joiningMs: 20_000 });
  await replicas.write(replicas.anyUp(), { type: "cluster.configure", failed_after_ms: 5000 });
  const lost = replicas.hosts.find((host) => host !== replicas.leader);
  if (lost === undefined) throw new Error("there is one host only");
  await replicas.kill(lost);
  await replicas.clock.until(
    () => leaderOf(replicas).replica.state.members.get(lost.peer)?.failedAt !== null,
    30_000,
  );
  return { replicas, lost };
}

/** Waits until this member votes, and nothing is left to do. */
async function voting(replicas: Replicas, host: Host): Promise<readonly string[]> {
  await replicas.clock.until(() => replicas.votersOf(leaderOf(replicas)).includes(host.peer), 30_000);
  await replicas.settled();
  return replicas.votersOf(leaderOf(replicas));
}

/** How many voters each configuration has had that a leader asked for. */
function votersAskedFor(replicas: Replicas): number[] {
  return replicas.hosts.flatMap(({ log }) =>
    log
      .matching("the leader changes who votes")
      .map(({ fields }) => (fields as { voters: readonly string[] }).voters.length),
  );
}

describe("a failed voter's place is taken", () => {
  test.each([3, 5])("of %i: as many vote all the time, and the newcomer votes in the end", async (count) => {
    const { replicas, lost } = await oneLost(count);
    const before = votersAskedFor(replicas).length;
    const heir = await replicas.join({ wantUid: lost.n, activates: false });
    await replicas.clock.advance(15_000);
    expect(leaderOf(replicas).replica.state.tombstones.has(lost.peer)).toBe(true);
    expect(replicas.votersOf(leaderOf(replicas))).toContain(lost.peer);

    await replicas.activate(heir);
    const voters = await voting(replicas, heir);
    expect(voters).toHaveLength(count);
    expect(voters).not.toContain(lost.peer);
    const since = votersAskedFor(replicas).slice(before);
    expect(new Set(since)).toEqual(new Set([count]));
    expect((await replicas.zone(heir, "written")).result.ok).toBe(true);
  });

  test("and another one can be lost then", async () => {
    const { replicas, lost } = await oneLost(3);
    await voting(replicas, await replicas.join({ wantUid: lost.n }));
    await replicas.kill(leaderOf(replicas));
    await replicas.clock.until(() => replicas.leader !== null);
    expect((await replicas.zone(replicas.anyUp(), "written")).result.ok).toBe(true);
  });
});

describe("a join in a failed member's place that breaks off", () => {
  test("is marked as failed, keeps the place, and the next one takes it", async () => {
    const { replicas, lost } = await oneLost(3);
    const broken = await replicas.join({ wantUid: lost.n, activates: false });
    await replicas.kill(broken);
    const members = () => leaderOf(replicas).replica.state.members;
    await replicas.clock.until(() => members().get(broken.peer)?.failedAt !== null, 30_000);
    expect(members().get(broken.peer)).toMatchObject({ uid: lost.n, status: "joining" });
    const { index } = leaderOf(replicas).replica.state;
    await replicas.clock.advance(60_000);
    expect(members().get(broken.peer)?.failedAt, "and stays so").not.toBeNull();
    expect(leaderOf(replicas).replica.state.index, "and is not marked again").toBe(index);
    expect(replicas.votersOf(leaderOf(replicas))).toContain(lost.peer);

    const heir = await replicas.join({ wantUid: lost.n });
    expect(await voting(replicas, heir)).toHaveLength(3);
    expect(new Set([...members().values()].map(({ uid }) => uid))).toEqual(new Set([1, 2, 3]));
  });

  test("a member that had taken part and joins again is not removed either", async () => {
    const replicas = await Replicas.form(4, { joiningMs: 5000 });
    const host = replicas.host(4);
    await replicas.kill(host);
    await replicas.write(replicas.anyUp(), {
      type: "member.add",
      member: makeMember(4, { peer: host.peer }),
    });
    const member = () => leaderOf(replicas).replica.state.members.get(host.peer);
    await replicas.clock.until(() => member()?.failedAt !== null, 10_000);
    await replicas.clock.advance(20_000);
    expect(member()).toMatchObject({ uid: 4, status: "joining" });
  });
});
