import { describe, expect, test } from "vitest";

import { epochMs } from "#shared/lib/time.ts";

import { Replicas, type Host } from "./replicas.ts";

const leaderOf = (replicas: Replicas): Host => {
  const { leader } = replicas;
  if (leader === null) throw new Error("nobody leads");
  return leader;
};

const follower = (replicas: Replicas): Host => {
  const host = replicas.up.find(
    (one) => one !== replicas.leader && replicas.votersOf(one).includes(one.peer),
  );
  if (host === undefined) throw new Error("there is no follower");
  return host;
};

const failedAt = (seenBy: Host, of: Host): number | null | undefined =>
  seenBy.replica.state.members.get(of.peer)?.failedAt;

const configure = (
  replicas: Replicas,
  settings: { candidate_pool_size?: number; failed_after_ms?: number },
) => replicas.write(replicas.anyUp(), { type: "cluster.configure", ...settings });

describe("the mark of a failed member", () => {
  test("comes after the grace, is the same everywhere, and goes when the member is back for a while", async () => {
    const replicas = await Replicas.form(3);
    await configure(replicas, { failed_after_ms: 20_000 });
    const lost = follower(replicas);
    await replicas.kill(lost);
    await replicas.clock.advance(18_000);
    expect(failedAt(leaderOf(replicas), lost)).toBeNull();
    await replicas.clock.until(() => failedAt(leaderOf(replicas), lost) !== null, 5000);
    await replicas.settled();
    expect(new Set(replicas.up.map((host) => failedAt(host, lost))).size).toBe(1);
    expect(failedAt(leaderOf(replicas), lost)).toBeGreaterThan(epochMs(0));

    await replicas.restart(lost);
    await replicas.clock.advance(3000);
    expect(failedAt(leaderOf(replicas), lost)).not.toBeNull();
    await replicas.clock.until(() => failedAt(lost, lost) === null, 10_000);
  });

  test("a leader that is not well judges nobody; time counts only while it is", async () => {
    const replicas = await Replicas.form(3);
    await configure(replicas, { failed_after_ms: 10_000 });
    const lost = follower(replicas);
    await replicas.kill(lost);
    const leader = leaderOf(replicas);
    leader.score = 5;
    await replicas.clock.advance(60_000);
    expect(failedAt(leader, lost)).toBeNull();
    leader.score = 1;
    await replicas.clock.advance(8000);
    expect(failedAt(leader, lost)).toBeNull();
    await replicas.clock.until(() => failedAt(leader, lost) !== null, 4000);
  });

  test("a new leader counts anew", async () => {
    const replicas = await Replicas.form(5);
    await configure(replicas, { failed_after_ms: 20_000 });
    const lost = follower(replicas);
    await replicas.kill(lost);
    await replicas.clock.advance(15_000);
    const old = leaderOf(replicas);
    await replicas.kill(old);
    await replicas.clock.until(() => replicas.leader !== null && replicas.leader !== old);
    await replicas.clock.advance(15_000);
    expect(failedAt(leaderOf(replicas), lost)).toBeNull();
    await replicas.clock.until(() => failedAt(leaderOf(replicas), lost) !== null, 10_000);
  });

  test("so does one that leads again", async () => {
    const replicas = await Replicas.form(5);
    await configure(replicas, { failed_after_ms: 20_000 });
    const old = leaderOf(replicas);
    const lost = follower(replicas);
    await replicas.kill(lost);
    await replicas.clock.advance(15_000);
    await replicas.wait(old.replica.lead(null));
    await replicas.wait(old.replica.lead(old.peer));
    await replicas.clock.until(() => replicas.leader === old);
    await replicas.clock.advance(15_000);
    expect(failedAt(old, lost)).toBeNull();
    await replicas.clock.until(() => failedAt(old, lost) !== null, 10_000);
  });

  test("without a majority nobody is marked", async () => {
    const replicas = await Replicas.form(3);
    await configure(replicas, { failed_after_ms: 1000 });
    const [one, ...others] = replicas.hosts as [Host, ...Host[]];
    for (const other of others) await replicas.kill(other);
    await replicas.clock.advance(30_000);
    for (const other of others) expect(failedAt(one, other)).toBeNull();
  });
});

describe("handing leadership over", () => {
  test("to a named voter, asked of a follower, of a learner and of the leader", async () => {
    const replicas = await Replicas.form(4);
    for (const asked of replicas.hosts) {
      const to = follower(replicas);
      await expect(replicas.wait(asked.replica.lead(to.peer))).resolves.toBe(to.peer);
      await replicas.clock.until(() => replicas.leader === to);
    }
    expect((await replicas.zone(replicas.host(4), "written")).result.ok).toBe(true);
  });

  test("to the best one when nobody is named; to the one that leads already", async () => {
    const replicas = await Replicas.form(3);
    const old = leaderOf(replicas);
    const heir = await replicas.wait(replicas.host(1).replica.lead(null));
    expect(heir).not.toBe(old.peer);
    await replicas.settled();
    await expect(replicas.wait(replicas.host(1).replica.lead(heir))).resolves.toBe(heir);
  });

  test.each([
    ["one that does not vote", (replicas: Replicas) => replicas.host(4), "it does not vote"],
    [
      "one that is dead",
      async (replicas: Replicas) => {
        const dead = follower(replicas);
        await replicas.kill(dead);
        await replicas.clock.advance(2500);
        return dead;
      },
      "it does not answer",
    ],
  ])("to %s is refused", async (_what, choose, reason) => {
    const replicas = await Replicas.form(4);
    const to = await choose(replicas);
    const before = leaderOf(replicas);
    await expect(replicas.wait(replicas.anyUp(before).replica.lead(to.peer))).rejects.toMatchObject({
      kind: "change_refused",
      facts: { reason: expect.stringContaining(reason) as unknown },
    });
    expect(replicas.leader).toBe(before);
  });

  test("the only member has nobody to hand over to", async () => {
    const replicas = await Replicas.form(1);
    await expect(replicas.wait(replicas.host(1).replica.lead(null))).rejects.toMatchObject({
      kind: "change_refused",
      facts: { reason: "no other voter answers" },
    });
  });

  test("without a leader it is quorum_lost, within seconds", async () => {
    const replicas = await Replicas.form(3);
    const [one, ...others] = replicas.hosts as [Host, ...Host[]];
    for (const other of others) await replicas.kill(other);
    await replicas.clock.advance(5000);
    await expect(replicas.wait(one.replica.lead(null), 10_000)).rejects.toMatchObject({
      kind: "quorum_lost",
    });
  });
});

describe("taking a vote", () => {
  test("of a voter: a standby is caught up and takes its place, and it gets none back at once", async () => {
    const replicas = await Replicas.form(4);
    const goes = follower(replicas);
    await replicas.wait(replicas.host(4).replica.voteOut(goes.peer));
    // It learns of it at once, though the leader sends it nothing any more.
    await replicas.clock.until(() => !replicas.votersOf(goes).includes(goes.peer), 1000);
    await replicas.clock.until(() => goes.replica.status().config.outgoing.length === 0, 1000);
    const voters = replicas.votersOf(leaderOf(replicas));
    expect(voters).toHaveLength(3);
    expect(voters).not.toContain(goes.peer);
    await replicas.clock.advance(10_000);
    expect(replicas.votersOf(leaderOf(replicas))).toEqual(voters);
  });

  test("lasts for half a minute: one that does not leave after all gets its vote back", async () => {
    const replicas = await Replicas.form(3);
    await replicas.wait(replicas.host(1).replica.voteOut(follower(replicas).peer));
    await replicas.clock.advance(20_000);
    expect(replicas.votersOf(leaderOf(replicas))).toHaveLength(1);
    await replicas.clock.until(() => replicas.votersOf(leaderOf(replicas)).length === 3, 20_000);
  });

  test("of the leader: somebody else leads then", async () => {
    const replicas = await Replicas.form(3);
    const old = leaderOf(replicas);
    await replicas.wait(old.replica.voteOut(old.peer));
    await replicas.clock.until(() => replicas.leader !== null && replicas.leader !== old);
    expect(replicas.votersOf(leaderOf(replicas))).not.toContain(old.peer);
    expect((await replicas.zone(old, "still a member")).result.ok).toBe(true);
  });

  test("of the only voter: the other member votes and leads then", async () => {
    const replicas = await Replicas.form(2);
    await replicas.wait(replicas.host(1).replica.voteOut("peer-1"));
    await replicas.clock.until(() => replicas.leader === replicas.host(2));
    expect(replicas.votersOf(replicas.host(2))).toEqual(["peer-2"]);
  });

  test("of a dead voter", async () => {
    const replicas = await Replicas.form(3);
    const dead = follower(replicas);
    await replicas.kill(dead);
    await replicas.wait(replicas.anyUp().replica.voteOut(dead.peer));
    expect(replicas.votersOf(leaderOf(replicas))).toEqual([leaderOf(replicas).peer]);
  });

  test("of the last member is refused", async () => {
    const replicas = await Replicas.form(1);
    await expect(replicas.wait(replicas.host(1).replica.voteOut("peer-1"))).rejects.toMatchObject({
      kind: "change_refused",
      facts: { reason: "no other member could vote in its place" },
    });
    expect((await replicas.zone(replicas.host(1), "as before")).result.ok).toBe(true);
  });
});

describe("the pool of candidates", () => {
  test("bounds the voters, also once there are more of them", async () => {
    const replicas = await Replicas.form(5);
    await configure(replicas, { candidate_pool_size: 4 });
    await replicas.clock.until(() => replicas.votersOf(leaderOf(replicas)).length === 3);
    await configure(replicas, { candidate_pool_size: 1 });
    await replicas.clock.until(() => replicas.votersOf(leaderOf(replicas)).length === 1);
    expect((await replicas.zone(replicas.host(5), "written")).result.ok).toBe(true);
    await configure(replicas, { candidate_pool_size: 10 });
    await replicas.clock.until(() => replicas.votersOf(leaderOf(replicas)).length === 5);
  });
});
