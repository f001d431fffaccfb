import { createServer as createPlainServer, type Server as PlainServer } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";

import { afterEach, describe, expect, test } from "vitest";

import { contact } from "#agent/bootstrap/contact.ts";
import { issue, type CertificateWish, type Issued } from "#test/support/certificates.ts";

/** Made for this test with openssl; a hundred years valid, protects nothing. */
const tls = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZmRMG/La1sxTx+5V
6i+6QB93uYOcrLd9fs3WLKlLz1ahRANCAATk1A+Ap9OyKVm7bejHgLxubWgpHXIv
TxB/fMQB8uP1aFeFIsYymhzddnKshvnwmJeuM/gXyaz9iIPs/PNlfqO9
-----END PRIVATE KEY-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBgzCCASmgAwIBAgIUSH5hC0c3aiFHBhrZjt55iQdrjo0wCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLc2VsZi1zaWduZWQwIBcNMjYxMTIxMTQxMDAxWhgPMjEyNjEw
MjgxNDEwMDFaMBYxFDASBgNVBAMMC3NlbGYtc2lnbmVkMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAE5NQPgKfTsilZu23ox4C8bm1oKR1yL08Qf3zEAfLj9WhXhSLG
Mpoc3XZyrIb58JiXrjP4F8ms/YiD7PzzZX6jvaNTMFEwHQYDVR0OBBYEFP3Mc23V
4VKAhzKr73cYhEcJU47DMB8GA1UdIwQYMBaAFP3Mc23V4VKAhzKr73cYhEcJU47D
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgOD8Ptm6NueIX/oy5
EQ7mydOxqVcDSsVtmRvOKN3uQxMCIQCi5lB/Me4qU82lQsXzkmzCmTKv4t9vWox2
2doZKJLmJg==
-----END CERTIFICATE-----`,
};
const never = new AbortController().signal;
let server: Server | PlainServer | null = null;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = null;
});

/** Serves this answer to GET /muster/v1/mesh over TLS with a certificate of its own making; answers with `host:port`. */
async function agentThatSays(
  body: string,
  status = 200,
  shows: { readonly key: string; readonly cert: string } = tls,
): Promise<string> {
  server = createServer(shows, (asked, response) => {
    response.statusCode = asked.method === "GET" && asked.url === "/muster/v1/mesh" ? status : 404;
    response.end(body);
  });
  return listening(server);
}

async function listening(on: Server | PlainServer): Promise<string> {
  await new Promise<void>((resolve) => {
    on.listen(0, "127.0.0.1", resolve);
  });
  return `127.0.0.1:${(on.address() as AddressInfo).port}`;
}

const ANSWER = {
  peer_id: "12D3KooWPeer",
  mesh_addrs: ["/ip4/127.0.0.1/tcp/9444"],
  cluster_id: "c",
  incarnation: 1,
};

test("an agent in a cluster tells its peer id and mesh addresses; its certificate is not asked for", async () => {
  const address = await agentThatSays(JSON.stringify({ ...ANSWER, more: true }));
  expect(await contact(address, 1, never)).toEqual({ peer: ANSWER.peer_id, meshAddrs: ANSWER.mesh_addrs });
});

test("the port is the given one unless the address has its own", async () => {
  const address = await agentThatSays(JSON.stringify(ANSWER));
  const port = Number(address.split(":")[1]);
  expect(await contact("127.0.0.1", port, never)).toMatchObject({ peer: ANSWER.peer_id });
});

describe("each failure has its own words", () => {
  test.each<[string, string, number, RegExp]>([
    [
      "an agent without a cluster",
      JSON.stringify({ ...ANSWER, cluster_id: null }),
      200,
      /^the agent there is not in a cluster$/,
    ],
    ["another server", "<html>", 404, /^what answers there is no muster agent \(status 404\)$/],
    ["a redirect", "", 302, /status 302/],
    ["no JSON", "<html>", 200, /its answer is no JSON/],
    ["other JSON", "{}", 200, /^what answers there is no muster agent$/],
    [
      "wrong types",
      JSON.stringify({ ...ANSWER, mesh_addrs: "x" }),
      200,
      /^what answers there is no muster agent$/,
    ],
    ["far too much", " ".repeat(100_000), 200, /its answer has no end/],
  ])("%s", async (_what, body, status, cause) => {
    await expect(contact(await agentThatSays(body, status), 1, never)).rejects.toThrow(cause);
  });

  test("nobody listens", async () => {
    const address = await agentThatSays("");
    await new Promise((resolve) => server?.close(resolve));
    await expect(contact(address, 1, never)).rejects.toThrow("the connection was refused");
  });

  test("no TLS", async () => {
    server = createPlainServer((_asked, response) => response.end("{}"));
    await expect(contact(await listening(server), 1, never)).rejects.toThrow(
      "what answers there does not speak TLS",
    );
  });

  test("a name that nobody has", async () => {
    await expect(contact("no-such-host.invalid", 9443, never)).rejects.toThrow(
      /^the name cannot be resolved/,
    );
  });

  test("the attempt is over", async () => {
    const over = AbortSignal.abort(new Error("the attempt is over"));
    await expect(contact(await agentThatSays("{}"), 1, over)).rejects.toThrow("the attempt is over");
  });
});

describe("with an authority that is trusted", async () => {
  const root = await issue({ name: "root", ca: true });
  const other = await issue({ name: "other", ca: true });
  const ask = async (wish: Partial<CertificateWish>, trusted: Issued = root) => {
    const { certificate: cert, key } = await issue({ name: "agent", issuer: root, ...wish });
    const address = await agentThatSays(JSON.stringify(ANSWER), 200, { cert, key });
    return contact(address, 1, never, { trustedCa: trusted.certificate });
  };

  test("an agent that shows a certificate of it is believed, whatever the name in it", async () => {
    expect(await ask({ uses: ["serverAuth"] })).toMatchObject({ peer: ANSWER.peer_id });
    expect(await ask({})).toMatchObject({ peer: ANSWER.peer_id });
  });

  test.each<[string, Partial<CertificateWish>, RegExp]>([
    ["of another one", { issuer: other }, /does not come from credentials.trusted_ca/],
    ["that has ended", { from: -2, to: -1 }, /has expired/],
    ["that is not valid yet", { from: 1, to: 2 }, /not valid yet/],
    ["for clients", { uses: ["clientAuth"] }, /./],
  ])("a certificate %s is not", async (_what, wish, message) => {
    await expect(ask(wish)).rejects.toThrow(message);
  });

  test("nor one that an agent made for itself", async () => {
    const address = await agentThatSays(JSON.stringify(ANSWER));
    await expect(contact(address, 1, never, { trustedCa: root.certificate })).rejects.toThrow(
      /does not come from credentials.trusted_ca/,
    );
  });
});
