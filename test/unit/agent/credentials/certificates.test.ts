import { describe, expect, test } from "vitest";

import { X509Certificates } from "#agent/credentials/certificates.ts";
import { epochMs } from "#shared/lib/time.ts";
import { issue, type Issued } from "#test/support/certificates.ts";

const certificates = new X509Certificates();
const BINDING = ["muster join", "joiner", "sponsor"];
const NOW = epochMs(Date.now());
const DAY_MS = 86_400_000;

const root = await issue({ name: "root", ca: true, from: -10, to: 10 });
const between = await issue({ name: "between", ca: true, issuer: root, from: -5, to: 5 });
const admin = await issue({ name: "admin@example.com", issuer: between });

const holderOf = (one: Issued, more: readonly Issued[] = []) =>
  certificates.holder({
    certificate: [one, ...more].map(({ certificate }) => certificate).join("some text\n"),
    key: one.key,
  });

/** Whose certificate this is, shown with these others, to a cluster that trusts these. */
function shown(
  one: Issued,
  more: readonly Issued[] = [],
  trusted: readonly Issued[] = [root],
  at = NOW,
  binding: readonly string[] = BINDING,
): string {
  const { chain, sign } = holderOf(one, more);
  const trustedCa = trusted.map(({ certificate }) => certificate).join("");
  return certificates.holderOf({ chain, signature: sign(BINDING), binding, trustedCa, at });
}

const denied = (message: RegExp) =>
  expect.objectContaining({ kind: "access_denied", message: expect.stringMatching(message) });

describe("a chain that leads to a trusted certificate proves its holder", () => {
  test("by one in between", () => expect(shown(admin, [between])).toBe("admin@example.com"));
  test("directly", () => expect(shown(admin, [], [between])).toBe("admin@example.com"));
  test("with others beside it", async () => {
    const other = await issue({ name: "other", ca: true });
    expect(shown(admin, [other, between], [other, root])).toBe("admin@example.com");
  });
  test("with an RSA key, and of an authority with one", async () => {
    const rsaRoot = await issue({ name: "rsa root", ca: true, keys: "rsa" });
    const rsa = await issue({ name: "admin", issuer: rsaRoot, keys: "rsa" });
    expect(shown(rsa, [], [rsaRoot])).toBe("admin");
  });
  test("made for clients", async () => {
    const client = await issue({ name: "admin", issuer: root, uses: ["clientAuth"] });
    expect(shown(client)).toBe("admin");
  });
});

describe("what proves nobody", () => {
  test.each<[string, () => Promise<string> | string, RegExp]>([
    ["a chain with a gap", () => shown(admin), /no authority that the cluster trusts/],
    [
      "another authority of the same name",
      async () => {
        const twin = await issue({ name: "root", ca: true });
        return shown(await issue({ name: "admin", issuer: twin }));
      },
      /no authority/,
    ],
    ["a certificate that signs itself", async () => shown(await issue({ name: "admin" })), /no authority/],
    [
      "an issuer that is no authority",
      async () => {
        const user = await issue({ name: "user", issuer: root });
        return shown(await issue({ name: "admin", issuer: user }), [user]);
      },
      /no authority/,
    ],
    [
      "an issuer that may sign, and yet is no authority",
      async () => {
        const user = await issue({ name: "user", issuer: root, signs: true });
        return shown(await issue({ name: "admin", issuer: user }), [user]);
      },
      /no authority/,
    ],
    [
      "a trusted certificate that is no authority",
      async () => {
        const user = await issue({ name: "user" });
        return shown(await issue({ name: "admin", issuer: user }), [], [user]);
      },
      /no authority/,
    ],
    [
      "a certificate that has ended",
      async () => shown(await issue({ name: "admin", issuer: root, from: -2, to: -1 })),
      /is valid from .* only/,
    ],
    [
      "a certificate that has not begun",
      async () => shown(await issue({ name: "admin", issuer: root, from: 1, to: 2 })),
      /is valid from .* only/,
    ],
    [
      "one in between that has ended",
      async () => {
        const ended = await issue({ name: "ended", ca: true, issuer: root, from: -3, to: -2 });
        return shown(await issue({ name: "admin", issuer: ended }), [ended]);
      },
      /no authority/,
    ],
    [
      "an authority that has ended",
      async () => {
        const long = await issue({ name: "admin", issuer: root, to: 30 });
        return shown(long, [], [root], epochMs(NOW + 20 * DAY_MS));
      },
      /authority of the certificate is not valid any more/,
    ],
    [
      "a server's certificate",
      async () => shown(await issue({ name: "admin", issuer: root, uses: ["serverAuth"] })),
      /not meant for clients/,
    ],
    [
      "two common names",
      async () => shown(await issue({ name: "x", subject: "CN=admin, CN=other", issuer: root })),
      /no common name, or several/,
    ],
    [
      "no common name",
      async () => shown(await issue({ name: "x", subject: "O=admin", issuer: root })),
      /no common name, or several/,
    ],
    [
      "a signature for another conversation",
      () => shown(admin, [between], [root], NOW, ["muster join", "joiner", "other"]),
      /does not have the key/,
    ],
    ["nobody trusted", () => shown(admin, [between], []), /no authority/],
  ])("%s", async (_what, attempt, message) => {
    await expect(Promise.resolve().then(attempt)).rejects.toThrow(denied(message));
  });

  test("somebody else's certificate", () => {
    const { sign } = holderOf(admin);
    const other = certificates.holder({ certificate: root.certificate, key: root.key });
    expect(() =>
      certificates.holderOf({
        chain: other.chain,
        signature: sign(BINDING),
        binding: BINDING,
        trustedCa: root.certificate,
        at: NOW,
      }),
    ).toThrow(denied(/does not have the key/));
  });

  test.each(["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])(
    "%j for a certificate",
    (chain) => {
      const shownAs = { chain, signature: "", binding: BINDING, trustedCa: root.certificate, at: NOW };
      expect(() => certificates.holderOf(shownAs)).toThrow(denied(/cannot be read/));
    },
  );

  test("more certificates than a chain has", () => {
    const chain = admin.certificate.repeat(6);
    const shownAs = { chain, signature: "", binding: BINDING, trustedCa: root.certificate, at: NOW };
    expect(() => certificates.holderOf(shownAs)).toThrow(denied(/cannot be read/));
  });
});

describe("what a joiner cannot use", () => {
  const unusable = (field: string) =>
    expect.objectContaining({ kind: "config_error", facts: expect.objectContaining({ field }) });

  test.each([
    ["no certificate", "", admin.key, "credentials.client_cert"],
    ["a key for a certificate", admin.key, admin.key, "credentials.client_cert"],
    ["no key", admin.certificate, "", "credentials.client_key"],
    ["another one's key", admin.certificate, root.key, "credentials.client_key"],
    ["a certificate for a key", admin.certificate, admin.certificate, "credentials.client_key"],
  ])("%s", (_what, certificate, key, field) => {
    expect(() => certificates.holder({ certificate, key })).toThrow(unusable(field));
  });

  test("a weak key", async () => {
    const weak = await issue({ name: "admin", issuer: root, keys: "rsa1024" });
    expect(() => holderOf(weak)).toThrow(unusable("credentials.client_key"));
  });

  test("authorities that are none", () => {
    expect(() => certificates.demandAuthorities("nonsense")).toThrow(unusable("credentials.trusted_ca"));
    expect(() => certificates.demandAuthorities(root.certificate)).not.toThrow();
  });
});

test("a key that lies beside the certificate in the file is never sent", () => {
  const holder = certificates.holder({ certificate: admin.key + admin.certificate, key: admin.key });
  expect(holder.chain).not.toContain("PRIVATE KEY");
});
