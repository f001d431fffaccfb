import { expect, test } from "vitest";

import { addressOfMultiaddr, canonicalAddress } from "#agent/bootstrap/addresses.ts";
import { parseNode } from "#agent/bootstrap/node-address.ts";

test.each([
  ["10.0.0.1", "10.0.0.1", 9443],
  ["10.0.0.1:19443", "10.0.0.1", 19_443],
  ["node.example", "node.example", 9443],
  ["node.example:80", "node.example", 80],
  ["2001:db8::1", "2001:db8::1", 9443],
  ["[2001:db8::1]", "2001:db8::1", 9443],
  ["[2001:db8::1]:80", "2001:db8::1", 80],
  ["::1", "::1", 9443],
])("%s is %s port %i", (text, host, port) => {
  expect(parseNode(text, 9443)).toEqual({ host, port });
});

test.each([
  "",
  ":9443",
  "a:b",
  "a:0",
  "a:65536",
  "a:123456",
  "https://a",
  "a/b",
  "u@a",
  "a b",
  "[a]:1",
  "[]",
  "[::1",
  "::1]:80",
])("%j is none", (text) => {
  expect(() => parseNode(text, 9443)).toThrow(/^(is|has) /);
});

test.each([
  ["10.0.0.1", "10.0.0.1"],
  ["2001:0DB8:0:0::0001", "2001:db8::1"],
  ["::ffff:10.0.0.1", "10.0.0.1"],
  ["10.1", null],
  ["010.0.0.1", null],
  ["name", null],
  ["", null],
])("the one form of %j is %j", (text, canonical) => {
  expect(canonicalAddress(text)).toBe(canonical);
});

test.each([
  ["/ip4/10.0.0.1/tcp/9444", "10.0.0.1"],
  ["/ip6/2001:0db8::1/tcp/9444", "2001:db8::1"],
  ["/dns4/node.example/tcp/9444", null],
  ["/ip4", null],
  ["", null],
])("the address in %j is %j", (multiaddr, address) => {
  expect(addressOfMultiaddr(multiaddr)).toBe(address);
});
