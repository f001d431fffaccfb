import { expect, test } from "vitest";

import { Cluster } from "#agent/cluster.ts";
import type { PeerAddresses } from "#agent/ports/transport.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeMembership } from "#test/support/fake-membership.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";
import { ownedRegistry } from "./owned-registry.ts";

const BY = { by: "agent" } as const;
const IDENTITY = { clusterId: "c", incarnation: 1, uid: 1, contacts: [] };

async function clusterOfThree() {
  const local = ownedRegistry();
  const self = makeMember(1);
  await local.submit(makeCluster(self), BY);
  for (const n of [2, 3]) await local.submit({ type: "member.add", member: makeMember(n) }, BY);
  const clock = new FakeClock();
  const probed: string[][] = [];
  const linked: string[][] = [];
  const cluster = new Cluster({
    registry: local,
    clock,
    transport: {
      self: self.peer,
      setCluster: () => undefined,
      setMembers: (members: readonly PeerAddresses[]) => void linked.push(members.map(({ peer }) => peer)),
    },
    membership: Object.assign(new FakeMembership(self.peer), {
      setMembers: (members: readonly { peer: string }[]) => void probed.push(members.map(({ peer }) => peer)),
    }),
  });
  await cluster.resume(IDENTITY);
  return { cluster, local, clock, probed, linked };
}

test("a member that was removed is talked to for a moment, so that it hears of it, and then cut off", async () => {
  const { local, clock, probed, linked } = await clusterOfThree();
  await local.submit({ type: "member.remove", peer: "peer-3" }, BY);
  expect(probed.at(-1)).toEqual(["peer-1", "peer-2"]);
  expect(linked.at(-1)).toEqual(["peer-2", "peer-3"]);
  await clock.advance(1000);
  await local.submit({ type: "member.remove", peer: "peer-2" }, BY);
  expect(linked.at(-1)).toEqual(["peer-3", "peer-2"]);
  await clock.advance(1500);
  expect(linked.at(-1)).toEqual(["peer-2"]);
  await clock.advance(5000);
  expect(linked.at(-1)).toEqual([]);
});

test("whoever forgets its cluster talks to nobody of it any more", async () => {
  const { cluster, local, clock, linked } = await clusterOfThree();
  await local.submit({ type: "member.remove", peer: "peer-3" }, BY);
  await cluster.forget();
  expect(linked.at(-1)).toEqual([]);
  await clock.advance(5000);
  expect(linked.at(-1)).toEqual([]);
});
