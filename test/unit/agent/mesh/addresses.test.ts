import { describe, expect, test } from "vitest";

import { dialMultiaddr, ipv4Places, listenMultiaddr, reachableAddrs } from "#agent/mesh/addresses.ts";

const PEER = "12D3KooWBqXTMWQSLFmnyiv1DWBpTGtXfVVmyULYD7eFNgVBDK5h";

describe("mesh addresses", () => {
  test.each([
    ["0.0.0.0:9444", "/ip4/0.0.0.0/tcp/9444"],
    ["127.0.0.1:0", "/ip4/127.0.0.1/tcp/0"],
    ["[::]:9444", "/ip6/::/tcp/9444"],
    ["[2001:db8::7]:1", "/ip6/2001:db8::7/tcp/1"],
  ])("%s is listened on as %s", (text, expected) => {
    expect(listenMultiaddr(text)).toBe(expected);
  });

  test.each([
    "",
    "9444",
    "host:9444",
    "::1:9444",
    "[::1]",
    "[127.0.0.1]:1",
    "10.0.0.1:65536",
    "10.0.0.1:",
    "1.2.3:4",
  ])("%o is refused", (text) => {
    expect(() => listenMultiaddr(text)).toThrow("ADDR:PORT");
  });

  test("only addresses of TCP over IP are dialled, bound to the peer id", () => {
    expect(dialMultiaddr("/ip4/10.0.0.1/tcp/9444", PEER)?.toString()).toBe(
      `/ip4/10.0.0.1/tcp/9444/p2p/${PEER}`,
    );
    expect(dialMultiaddr("/ip6/2001:db8::7/tcp/9444", PEER)).not.toBeNull();
    for (const bad of [
      "/ip4/10.0.0.1/udp/1",
      "/dns4/example.com/tcp/1",
      "/ip4/10.0.0.999/tcp/1",
      "/unix/x",
      "x",
    ]) {
      expect(dialMultiaddr(bad, PEER)).toBeNull();
    }
  });

  test("a wildcard stands for everything but loopback, unless there is nothing else or it was asked for", () => {
    const all = ["/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip4/192.168.1.1/tcp/1"];
    expect(reachableAddrs(["/ip4/0.0.0.0/tcp/1"], all)).toEqual(all.slice(1));
    expect(reachableAddrs(["/ip4/0.0.0.0/tcp/1"], all.slice(0, 1))).toEqual(all.slice(0, 1));
    expect(reachableAddrs(["/ip4/127.0.0.2/tcp/0"], ["/ip4/127.0.0.2/tcp/1"])).toEqual([
      "/ip4/127.0.0.2/tcp/1",
    ]);
    const both = ["/ip6/::1/tcp/1", "/ip4/10.0.0.1/tcp/1"];
    expect(reachableAddrs(["/ip6/::1/tcp/1", "/ip4/10.0.0.1/tcp/1"], both)).toEqual(both);
  });

  test("what a beacon tells of: IPv4, and not this host alone", () => {
    const actual = [
      `/ip4/10.0.0.1/tcp/9444/p2p/${PEER}`,
      "/ip4/192.168.7.1/tcp/9500",
      "/ip4/127.0.0.1/tcp/9444",
      "/ip6/2001:db8::7/tcp/9444",
      "/dns4/host/tcp/9444",
    ];
    expect(ipv4Places(actual)).toEqual([
      { address: "10.0.0.1", port: 9444 },
      { address: "192.168.7.1", port: 9500 },
    ]);
  });
});
