import { expect, test } from "vitest";

import { membersByUid } from "#shared/registry/queries/members.ts";
import { detectedNodes, instanceName, nodesByUuid } from "#shared/registry/queries/nodes.ts";
import { zonesById } from "#shared/registry/queries/zones.ts";
import { makeCluster, makeMember, RegistryLog } from "#test/support/registry-log.ts";

const log = new RegistryLog();
log.must(makeCluster());
for (const n of [3, 2]) log.must({ type: "member.add", member: makeMember(n) });
for (const name of ["b", "a"]) log.must({ type: "zone.create", name });

test("every member is a detected node until it is registered, and again once it is not", () => {
  const uuids = (): string[] => detectedNodes(log.state).map(({ uuid }) => uuid);
  expect(detectedNodes(log.state)[1]).toEqual({ uuid: "uuid-3", hostname: "tnt3.public.i", name: "tnt3" });
  expect(uuids()).toEqual(["uuid-1", "uuid-3", "uuid-2"]);
  log.must({ type: "node.register", uuid: "uuid-3", zone_id: 1, uri: "u:1", cfg: {} });
  log.must({ type: "node.register", uuid: "uuid-2", zone_id: 1, uri: "u:1", cfg: {} });
  expect(uuids()).toEqual(["uuid-1"]);
  expect(nodesByUuid(log.state).map(({ uuid }) => uuid)).toEqual(["uuid-2", "uuid-3"]);
  log.must({ type: "node.unregister", uuid: "uuid-3" });
  expect(uuids()).toEqual(["uuid-1", "uuid-3"]);
  log.must({ type: "member.remove", peer: "peer-3" });
  expect(uuids()).toEqual(["uuid-1"]);
});

test("lists have an order of their own, not the Map's", () => {
  const { state } = log;
  const reversed = {
    ...state,
    zones: new Map([...state.zones].toReversed()),
    members: new Map([...state.members].toReversed()),
  };
  expect(zonesById(reversed).map(({ id }) => id)).toEqual([1, 2]);
  expect(membersByUid(reversed).map(({ uid }) => uid)).toEqual([1, 3]);
});

test.each([
  ["tnt2.public.i", "tnt2"],
  ["tnt2", "tnt2"],
  ["10.0.0.1", "10.0.0.1"],
  [".odd", ".odd"],
])("the instance on %s is called %s", (hostname, name) => {
  expect(instanceName(hostname)).toBe(name);
});
