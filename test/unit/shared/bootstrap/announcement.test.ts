import { expect, test } from "vitest";

import { announcement, type OwnFacts } from "#shared/bootstrap/announcement.ts";
import { epochMs } from "#shared/lib/time.ts";
import type { Member } from "#shared/registry/state.ts";

const OWN: OwnFacts = {
  peer: "p1",
  meshAddrs: ["/ip4/10.0.0.1/tcp/9444", "/ip4/10.0.1.1/tcp/9444"],
  apiUrls: ["https://10.0.0.1:9443"],
  softwareVersion: "1.0.0",
};
const RECORD: Member = {
  peer: "p1",
  uuid: "u1",
  name: "host-1",
  addr: "10.0.0.1",
  external_addrs: [],
  mesh_addrs: [...OWN.meshAddrs],
  api_urls: [...OWN.apiUrls],
  rack_id: null,
  software_version: "1.0.0",
  uid: 1,
  status: "active",
  failedAt: null,
  addedAt: epochMs(0),
};
const UPDATE = {
  type: "member.update",
  peer: "p1",
  mesh_addrs: OWN.meshAddrs,
  api_urls: OWN.apiUrls,
  software_version: "1.0.0",
};

test.each<[string, Member | undefined, object | null]>([
  ["says nothing when all is true", RECORD, null],
  ["says nothing without a record", undefined, null],
  [
    "takes another order of addresses for no difference",
    { ...RECORD, mesh_addrs: RECORD.mesh_addrs.toReversed() },
    null,
  ],
  ["activates a joining member", { ...RECORD, status: "joining" }, { type: "member.activate", peer: "p1" }],
  ["renews mesh addresses", { ...RECORD, mesh_addrs: ["/ip4/10.0.0.9/tcp/9444"] }, UPDATE],
  [
    "notices an address that went away",
    { ...RECORD, mesh_addrs: [...OWN.meshAddrs, "/ip4/10.0.0.9/tcp/1"] },
    UPDATE,
  ],
  ["renews URLs", { ...RECORD, api_urls: [] }, UPDATE],
  ["renews the version", { ...RECORD, software_version: "0.9.0" }, UPDATE],
  ["renews before it activates", { ...RECORD, status: "joining", api_urls: [] }, UPDATE],
])("%s", (_what, record, command) => {
  expect(announcement(record, OWN)).toEqual(command);
});
