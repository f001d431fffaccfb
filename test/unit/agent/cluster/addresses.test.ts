import { expect, test } from "vitest";

import { Cluster } from "#agent/cluster.ts";
import type { HostFacts } from "#shared/model/hardware.ts";
import type { PeerAddresses } from "#agent/ports/transport.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeMembership } from "#test/support/fake-membership.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";
import { ownedRegistry } from "./owned-registry.ts";

const BY = { by: "agent" } as const;
const IDENTITY = { clusterId: "c1", incarnation: 1, uid: 1, contacts: [] };
const [OLD, NEW, THIRD] = ["/ip4/10.0.0.2/tcp/1", "/ip4/10.0.9.2/tcp/1", "/ip4/10.0.9.3/tcp/1"] as const;

/** An agent in a cluster of two; the registry has the other one at its old address. */
async function memberOfTwo() {
  const local = ownedRegistry();
  const self = makeMember(1);
  const other = makeMember(2, { mesh_addrs: [OLD] });
  await local.submit(makeCluster(self), BY);
  await local.submit({ type: "member.add", member: other }, BY);
  const membership = Object.assign(new FakeMembership(self.peer), { setMembers: () => undefined });
  const told: (readonly PeerAddresses[])[] = [];
  const transport = {
    self: self.peer,
    setCluster: () => undefined,
    setMembers: (members: readonly PeerAddresses[]) => void told.push(members),
  };
  const cluster = new Cluster({ registry: local, transport, membership, clock: new FakeClock() });
  await cluster.resume(IDENTITY);
  const hear = (peer: string, meshAddrs: readonly string[]): void => {
    membership.hear({ peer, name: "any", facts: {} as HostFacts, apiUrls: [], meshAddrs });
  };
  return { cluster, told, other: other.peer, hear, local };
}

test("a member that moved is dialled where it says that it is, before the registry can know", async () => {
  const { told, other, hear } = await memberOfTwo();
  expect(told.at(-1)).toEqual([{ peer: other, meshAddrs: [OLD] }]);
  hear(other, [NEW]);
  expect(told.at(-1)).toEqual([{ peer: other, meshAddrs: [NEW, OLD] }]);
  hear(other, [THIRD]);
  expect(told.at(-1)).toEqual([{ peer: other, meshAddrs: [THIRD, OLD] }]);
});

test("what is known already is not told again, and strangers are not dialled", async () => {
  const { cluster, told, other, hear } = await memberOfTwo();
  const before = told.length;
  hear(other, [OLD]);
  hear("a stranger", [NEW]);
  expect(told).toHaveLength(before);
  await cluster.forget();
  hear(other, [NEW]);
  expect(told.at(-1)).toEqual([]);
});

test("a change of the registry leaves the reported addresses in place", async () => {
  const { told, other, hear, local } = await memberOfTwo();
  hear(other, [NEW]);
  await local.submit({ type: "member.update", peer: other, mesh_addrs: [NEW] }, BY);
  expect(told.at(-1)).toEqual([{ peer: other, meshAddrs: [NEW] }]);
});
