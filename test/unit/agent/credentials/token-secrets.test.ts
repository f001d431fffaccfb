import { expect, test } from "vitest";

import { fromBase64, hmac, storedKeyOf, toBase64 } from "#agent/credentials/keys.ts";
import { RandomTokenSecrets } from "#agent/credentials/token-secrets.ts";

const tokens = new RandomTokenSecrets();
const BINDING = ["muster join", "joiner", "sponsor", "cluster", "hello", "challenge"];

test("a secret has 256 random bits; what is kept of it tells neither the secret nor a proof", () => {
  const [one, two] = [tokens.draw(), tokens.draw()];
  expect(Buffer.from(one.secret, "base64url")).toHaveLength(32);
  expect(one.secret).not.toBe(two.secret);
  expect(one.id).not.toBe(two.id);
  expect(JSON.stringify(one.keys)).not.toContain(one.secret);
  // RFC 5802, section 3: whoever has the stored key alone cannot make a client key of it.
  const forged = toBase64(hmac(fromBase64(one.keys.stored_key), JSON.stringify(BINDING)));
  expect(tokens.check(one.keys, forged, BINDING)).toBeNull();
});

test("with the secret each side is sure of the other", () => {
  const { secret, keys } = tokens.draw();
  const { proof, confirmedBy } = tokens.prove(secret, BINDING);
  const signature = tokens.check(keys, proof, BINDING);
  expect(confirmedBy(signature ?? "")).toBe(true);
  expect(confirmedBy(toBase64(storedKeyOf(fromBase64(keys.server_key))))).toBe(false);
  expect(confirmedBy("")).toBe(false);
});

test("another secret, an unknown token and nonsense are refused", () => {
  const { keys } = tokens.draw();
  const { proof } = tokens.prove(tokens.draw().secret, BINDING);
  expect(tokens.check(keys, proof, BINDING)).toBeNull();
  expect(tokens.check(null, proof, BINDING)).toBeNull();
  for (const nonsense of ["", "AAAA", "A".repeat(44), "not base64 at all"]) {
    expect(tokens.check(keys, nonsense, BINDING)).toBeNull();
    expect(tokens.check(null, nonsense, BINDING)).toBeNull();
  }
});

test.each(BINDING.map((_, i) => i))("text %i of the binding, when it is another one, fits no proof", (at) => {
  const { secret, keys } = tokens.draw();
  const other = BINDING.with(at, "other");
  const { proof, confirmedBy } = tokens.prove(secret, BINDING);
  expect(tokens.check(keys, proof, other)).toBeNull();
  const signature = tokens.check(keys, tokens.prove(secret, other).proof, other);
  expect(confirmedBy(signature ?? "")).toBe(false);
});
