import { describe, expect, test } from "vitest";

import { decodeToken, encodeToken, type TokenContent } from "#agent/bootstrap/token.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { TOKEN_CHARS_MAX, TOKEN_PEERS_MAX } from "#shared/lib/limits.ts";

const SECRET = "s".repeat(43);
const CONTENT: TokenContent = {
  id: "t1",
  secret: SECRET,
  clusterId: "c1",
  peers: [{ peer: "12D3KooWA", meshAddrs: ["/ip4/10.0.0.1/tcp/9444", "/ip6/2001:db8::1/tcp/9444"] }],
};

const encoded = (value: unknown): string =>
  `muster1.${Buffer.from(JSON.stringify(value)).toString("base64url")}`;
const wire = { id: "t1", secret: SECRET, cluster_id: "c1", peers: [{ peer: "p", mesh_addrs: [] }] };

test("what is written is read, with white space around it and fields of later versions in it", () => {
  expect(decodeToken(encodeToken(CONTENT))).toEqual(CONTENT);
  expect(decodeToken(`\n ${encodeToken(CONTENT)}\r\n`)).toEqual(CONTENT);
  expect(decodeToken(encoded({ ...wire, more: 1 })).id).toBe("t1");
});

test("it is one word that needs no quotes anywhere", () => {
  expect(encodeToken(CONTENT)).toMatch(/^muster1\.[A-Za-z0-9_-]+$/);
});

test("however many members with however many addresses: never longer than may be read", () => {
  const meshAddrs = Array.from({ length: 200 }, (_, i) => `/ip6/2001:db8::${i}/tcp/9444`);
  const peers = Array.from({ length: 50 }, (_, i) => ({ peer: `peer-${i}`.padEnd(128, "x"), meshAddrs }));
  const text = encodeToken({ ...CONTENT, peers });
  expect(text.length).toBeLessThanOrEqual(TOKEN_CHARS_MAX);
  const read = decodeToken(text);
  expect(read.peers.length).toBeLessThanOrEqual(TOKEN_PEERS_MAX);
  expect(read.peers.map(({ peer }) => peer)).toEqual(
    peers.slice(0, read.peers.length).map(({ peer }) => peer),
  );
});

describe("what is no token is refused by its field, and never repeated", () => {
  test.each([
    ["nothing", ""],
    ["a password", "correct horse"],
    ["another prefix", encodeToken(CONTENT).replace("muster1", "muster2")],
    ["half of one", encodeToken(CONTENT).slice(0, 40)],
    ["no JSON", `muster1.${Buffer.from("hello").toString("base64url")}`],
    ["no secret", encoded({ ...wire, secret: undefined })],
    ["a short secret", encoded({ ...wire, secret: "short" })],
    ["no peers", encoded({ ...wire, peers: [] })],
    ["too many peers", encoded({ ...wire, peers: Array.from({ length: 9 }, () => wire.peers[0]) })],
    ["too long", `muster1.${"A".repeat(TOKEN_CHARS_MAX)}`],
    ["a number", encoded(5)],
    ["null", encoded(null)],
  ])("%s", (_what, text) => {
    let error: unknown;
    try {
      decodeToken(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({ kind: "config_error", facts: { field: "credentials.token" } });
    if (text.length > 8) expect(JSON.stringify(error) + String(error)).not.toContain(text.slice(8, 40));
  });
});
