import { describe, expect, test } from "vitest";

import { chooseAddress, type Candidate } from "#shared/bootstrap/address.ts";

function candidate(text: string, more: Partial<Candidate> = {}): Candidate {
  const family = text.includes(":") ? "ipv6" : "ipv4";
  return { text, family, loopback: false, private: false, bridge: false, ...more };
}

const docker = candidate("172.17.0.1", { private: true, bridge: true });
const inner = candidate("10.0.0.5", { private: true });
const inner2 = candidate("10.0.1.5", { private: true });
const inner6 = candidate("fd00::5", { private: true });
const outer = candidate("203.0.113.5");
const outer6 = candidate("2001:db8::5");
const loop = candidate("127.0.0.2", { loopback: true });
const asMeshSees = (one: Candidate): Candidate => ({ ...one, bridge: false });

describe("without a wish", () => {
  test.each<[string, readonly Candidate[], readonly Candidate[], string]>([
    ["the only one", [inner], [inner], "10.0.0.5"],
    ["private before public", [outer, inner], [outer, inner], "10.0.0.5"],
    ["public before a bridge", [docker, outer], [docker, outer].map(asMeshSees), "203.0.113.5"],
    ["IPv4 before IPv6", [inner6, inner], [inner6, inner], "10.0.0.5"],
    ["private IPv6 before public IPv4", [outer, inner6], [outer, inner6], "fd00::5"],
    ["the first interface among equals", [inner2, inner], [inner, inner2], "10.0.1.5"],
    ["only where the mesh listens", [inner, outer6], [outer6], "2001:db8::5"],
    ["loopback when the mesh listens nowhere else", [inner], [loop], "127.0.0.2"],
    ["any of the host when nobody knows where the mesh listens", [outer], [], "203.0.113.5"],
  ])("%s", (_what, host, mesh, address) => {
    expect(chooseAddress({ requested: null, host, mesh })).toEqual({ ok: true, address });
  });

  test("a host without any address has none to choose", () => {
    expect(chooseAddress({ requested: null, host: [], mesh: [] })).toEqual({ ok: false, allowed: [] });
  });
});

describe("with a wish", () => {
  test("one of the host's is taken, even on a bridge", () => {
    const choice = { requested: "172.17.0.1", host: [inner, docker], mesh: [inner] };
    expect(chooseAddress(choice)).toEqual({ ok: true, address: "172.17.0.1" });
  });

  test("a loopback address is taken when the mesh listens on it", () => {
    expect(chooseAddress({ requested: "127.0.0.2", host: [inner], mesh: [loop] })).toMatchObject({
      ok: true,
    });
    expect(chooseAddress({ requested: "127.0.0.3", host: [inner], mesh: [loop] })).toMatchObject({
      ok: false,
    });
  });

  test("another host's is refused with what would be right", () => {
    const choice = { requested: "10.9.9.9", host: [inner, outer], mesh: [inner] };
    expect(chooseAddress(choice)).toEqual({ ok: false, allowed: ["10.0.0.5", "203.0.113.5"] });
  });
});

describe("when only IPv6 will do", () => {
  test.each<[string, readonly Candidate[], readonly Candidate[], string]>([
    ["IPv6 though IPv4 is better", [inner, outer6], [inner, outer6], "2001:db8::5"],
    ["private before public", [outer6, inner6], [outer6, inner6], "fd00::5"],
    ["another one when the mesh listens on IPv4 alone", [inner, inner6], [inner], "fd00::5"],
  ])("%s", (_what, host, mesh, address) => {
    expect(chooseAddress({ requested: null, family: "ipv6", host, mesh })).toEqual({ ok: true, address });
  });

  test("a host without one has none to choose, and an IPv4 address is refused", () => {
    const choice = { family: "ipv6", host: [inner], mesh: [inner] } as const;
    expect(chooseAddress({ ...choice, requested: null })).toEqual({ ok: false, allowed: [] });
    expect(chooseAddress({ ...choice, host: [inner, inner6], requested: "10.0.0.5" })).toEqual({
      ok: false,
      allowed: ["fd00::5"],
    });
  });
});
