import { pbkdf2Sync } from "node:crypto";

import { describe, expect, test, vi } from "vitest";

import { ScryptQueue } from "#agent/credentials/kdf.ts";
import { clientKeyOf, hmac, serverKeyOf, storedKeyOf } from "#agent/credentials/keys.ts";
import { ScryptPasswords } from "#agent/credentials/passwords.ts";
import { ScramSha256 } from "#agent/credentials/scram.ts";
import type { ScramChallenge } from "#agent/ports/credentials.ts";
import { isKind } from "#shared/errors/app-error.ts";

const kdf = new ScryptQueue();
const scram = new ScramSha256({ kdf }, { nMin: 1024 });
const passwords = new ScryptPasswords({ kdf }, { n: 1024 });
const verifier = await passwords.derive("correct horse");
const BINDING = ["joiner", "sponsor", "cluster"];

test("the keys are those of SCRAM-SHA-256: the example of RFC 7677, section 3", () => {
  const salted = pbkdf2Sync("pencil", Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64"), 4096, 32, "sha256");
  const signed = [
    "n=user,r=rOprNGfwEbeRWgbNEkqO",
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
  ].join(",");
  const clientKey = clientKeyOf(salted);
  const signature = hmac(storedKeyOf(clientKey), signed);
  const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] ?? 0)));
  expect(proof.toString("base64")).toBe("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  expect(hmac(serverKeyOf(salted), signed).toString("base64")).toBe(
    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
  );
});

test("with the right password each side is sure of the other", async () => {
  const client = scram.client({ username: "admin", password: "correct horse" });
  const server = scram.server(client.first, verifier, verifier);
  const { proof, confirmedBy } = await client.prove(server.challenge, BINDING);
  const signature = server.check(proof, BINDING);
  expect(signature).not.toBeNull();
  expect(confirmedBy(signature ?? "")).toBe(true);
});

test("a wrong password is refused", async () => {
  const client = scram.client({ username: "admin", password: "wrong horse" });
  const server = scram.server(client.first, verifier, verifier);
  const { proof } = await client.prove(server.challenge, BINDING);
  expect(server.check(proof, BINDING)).toBeNull();
});

test.each(["", "AAAA", "A".repeat(44), "not base64 at all"])("%j is no proof", (proof) => {
  const client = scram.client({ username: "admin", password: "correct horse" });
  expect(scram.server(client.first, verifier, verifier).check(proof, BINDING)).toBeNull();
});

describe("whatever is changed on the way, the proof does not verify", () => {
  const changes: Record<string, (given: ScramChallenge) => ScramChallenge> = {
    nonce: (given) => ({ ...given, nonce: given.nonce.slice(8) + given.nonce.slice(0, 8) }),
    salt: (given) => ({ ...given, salt: Buffer.from("another salt 16b").toString("base64") }),
    n: (given) => ({ ...given, n: 2048 }),
    r: (given) => ({ ...given, r: 9 }),
    p: (given) => ({ ...given, p: 2 }),
  };
  test.each(Object.keys(changes))("in the challenge: %s", async (field) => {
    const client = scram.client({ username: "admin", password: "correct horse" });
    const server = scram.server(client.first, verifier, verifier);
    const changed = changes[field]?.(server.challenge) ?? server.challenge;
    const { proof } = await client.prove(changed, BINDING);
    expect(server.check(proof, BINDING)).toBeNull();
  });

  test.each(["username", "nonce"] as const)("in the client's first message: %s", async (field) => {
    const client = scram.client({ username: "admin", password: "correct horse" });
    const server = scram.server({ ...client.first, [field]: "other" }, verifier, verifier);
    const { proof } = await client.prove(server.challenge, BINDING);
    expect(server.check(proof, BINDING)).toBeNull();
  });

  test.each([0, 1, 2])("in what both sides know for themselves: item %i", async (item) => {
    const client = scram.client({ username: "admin", password: "correct horse" });
    const server = scram.server(client.first, verifier, verifier);
    const { proof } = await client.prove(server.challenge, BINDING);
    const other = BINDING.map((text, i) => (i === item ? `${text}, but another one` : text));
    expect(server.check(proof, other)).toBeNull();
    expect(server.check(proof, BINDING)).not.toBeNull();
  });

  test("in the proof: each of its bits", async () => {
    const client = scram.client({ username: "admin", password: "correct horse" });
    const server = scram.server(client.first, verifier, verifier);
    const { proof } = await client.prove(server.challenge, BINDING);
    for (let bit = 0; bit < 256; bit += 1) {
      const bytes = Buffer.from(proof, "base64");
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(server.check(bytes.toString("base64"), BINDING)).toBeNull();
    }
  });
});

test("a proof that was overheard serves nobody a second time", async () => {
  const client = scram.client({ username: "admin", password: "correct horse" });
  const { proof } = await client.prove(scram.server(client.first, verifier, verifier).challenge, BINDING);
  expect(scram.server(client.first, verifier, verifier).check(proof, BINDING)).toBeNull();
});

test("the client is not taken in by a server that does not know the verifier", async () => {
  const client = scram.client({ username: "admin", password: "correct horse" });
  const liar = await passwords.derive("a guess");
  const { challenge } = scram.server(client.first, liar, liar);
  const { proof, confirmedBy } = await client.prove(challenge, BINDING);
  // It can answer anything, for instance what it computes from its guess, or the proof itself.
  const own = await scram.client({ username: "admin", password: "a guess" }).prove(challenge, BINDING);
  for (const signature of [own.proof, proof, "", "A".repeat(44)]) expect(confirmedBy(signature)).toBe(false);
});

test.each([
  ["proved right is not hashed again for the first login", true, 0],
  ["that nobody confirmed is hashed", false, 1],
] as const)("a password %s", async (_what, confirmed, expected) => {
  const own = new ScryptQueue();
  const joiner = new ScramSha256({ kdf: own }, { nMin: 1024 });
  const client = joiner.client({ username: "admin", password: "correct horse" });
  const server = scram.server(client.first, verifier, verifier);
  const { proof, confirmedBy } = await client.prove(server.challenge, BINDING);
  expect(confirmedBy(confirmed ? (server.check(proof, BINDING) ?? "") : "A".repeat(44))).toBe(confirmed);
  const hashes = vi.spyOn(own, "derive");
  expect(await new ScryptPasswords({ kdf: own }).verify("correct horse", verifier)).toBe(true);
  expect(hashes).toHaveBeenCalledTimes(expected);
});

describe("an unknown user", () => {
  test("gets a challenge of the same form and cost, which fails to the end", async () => {
    const client = scram.client({ username: "nobody", password: "correct horse" });
    const server = scram.server(client.first, null, verifier);
    const known = scram.server(client.first, verifier, verifier).challenge;
    const { challenge } = server;
    expect(Object.keys(challenge)).toEqual(Object.keys(known));
    expect(challenge).toMatchObject({ n: known.n, r: known.r, p: known.p });
    expect(challenge.salt).toHaveLength(known.salt.length);
    const { proof } = await client.prove(challenge, BINDING);
    expect(server.check(proof, BINDING)).toBeNull();
  });

  test("gets the same salt every time and from every agent; another name gets another", () => {
    const other = new ScramSha256({ kdf: new ScryptQueue() });
    const saltOf = (through: ScramSha256, username: string): string =>
      through.server({ username, nonce: "n" }, null, verifier).challenge.salt;
    expect(saltOf(other, "nobody")).toBe(saltOf(scram, "nobody"));
    expect(saltOf(scram, "somebody")).not.toBe(saltOf(scram, "nobody"));
  });
});

test.each([
  ["too cheap", { n: 1 << 13, r: 8, p: 1 }],
  ["too little memory", { n: 1 << 14, r: 1, p: 1 }],
  ["no power of two", { n: 20_000, r: 8, p: 1 }],
  ["too much memory", { n: 1 << 20, r: 8, p: 1 }],
  ["too much work", { n: 1 << 15, r: 8, p: 100 }],
  ["no number", { n: Number.NaN, r: 8, p: 1 }],
  ["absurd", { n: 2 ** 60, r: 8, p: 1 }],
])("the client refuses a challenge that is %s", async (_what, cost) => {
  const strict = new ScramSha256({ kdf });
  const client = strict.client({ username: "admin", password: "correct horse" });
  const asked = client.prove({ nonce: "n", salt: verifier.salt, ...cost }, BINDING);
  await expect(asked).rejects.toSatisfy((error) => isKind(error, "access_denied"));
});

test("what is made by default is accepted by default", async () => {
  const made = await new ScryptPasswords({ kdf }).derive("correct horse");
  const client = new ScramSha256({ kdf }).client({ username: "admin", password: "correct horse" });
  const server = scram.server(client.first, made, made);
  const { proof } = await client.prove(server.challenge, BINDING);
  expect(server.check(proof, BINDING)).not.toBeNull();
});
