import { expect, test } from "vitest";

import { announcement, sizesOf, type OwnFacts } from "#shared/bootstrap/announcement.ts";
import { epochMs } from "#shared/lib/time.ts";
import type { Member } from "#shared/registry/state.ts";
import { makeFacts } from "#test/support/builders.ts";

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

const MEMORY = 64_000_000_000;
const FLASH = 1_000_000_000_000;
const KNOWN = { ...RECORD, memory_bytes: MEMORY, flash_bytes: FLASH };

test.each<[string, Member, Partial<OwnFacts>, object | null]>([
  ["tells sizes that are not recorded", RECORD, { memoryBytes: MEMORY }, { memory_bytes: MEMORY }],
  ["says nothing when the sizes are true", KNOWN, { memoryBytes: MEMORY, flashBytes: FLASH }, null],
  ["keeps what is recorded when a size is not known now", KNOWN, {}, null],
  ["takes a little less memory for the same", KNOWN, { memoryBytes: MEMORY * 0.99 }, null],
  ["tells of memory taken out", KNOWN, { memoryBytes: MEMORY / 2 }, { memory_bytes: MEMORY / 2 }],
  ["tells of memory put in", KNOWN, { memoryBytes: MEMORY * 2 }, { memory_bytes: MEMORY * 2 }],
  [
    "tells both when one has changed",
    KNOWN,
    { memoryBytes: MEMORY, flashBytes: 2 * FLASH },
    { memory_bytes: MEMORY, flash_bytes: 2 * FLASH },
  ],
])("%s", (_what, record, sizes, told) => {
  expect(announcement(record, { ...OWN, ...sizes })).toEqual(told === null ? null : { ...UPDATE, ...told });
});

test.each<[string, string | undefined, string | undefined, string | null]>([
  ["the same folder", "/run/muster", "/run/muster", null],
  ["none, as before", undefined, undefined, null],
  ["another folder", "/run/muster", "/run/other", "/run/other"],
  ["a first one", undefined, "/run/muster", "/run/muster"],
  ["none any more", "/run/muster", undefined, ""],
])("tells where its socket is: %s", (_what, recorded, now, told) => {
  const record = recorded === undefined ? RECORD : { ...RECORD, socket_directory: recorded };
  const own = now === undefined ? OWN : { ...OWN, socketDirectory: now };
  expect(announcement(record, own)).toEqual(told === null ? null : { ...UPDATE, socket_directory: told });
});

test("a host's sizes are those of its facts, in whole bytes", () => {
  const folder = { path: "/x", free: 1, filesystem: null, device: null, mount_point: null, rotational: null };
  const facts = makeFacts({
    static: { memory_total: 1000.5 },
    live: {
      storage: [
        { ...folder, kind: "persistent", size: 7 },
        { ...folder, kind: "bigstore", size: 9.5 },
      ],
    },
  });
  expect(sizesOf(facts)).toEqual({ memoryBytes: 1000, flashBytes: 9 });
  const hung = { ...folder, kind: "bigstore", size: null } as const;
  expect(sizesOf({ ...facts, live: { ...facts.live, storage: [hung] } })).toEqual({ memoryBytes: 1000 });
});
