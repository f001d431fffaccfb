import { expect, test } from "vitest";
import { Value } from "typebox/value";

import { ScryptQueue } from "#agent/credentials/kdf.ts";
import { ScryptPasswords } from "#agent/credentials/passwords.ts";
import { PasswordVerifier } from "#shared/registry/command.ts";

const passwords = new ScryptPasswords({ kdf: new ScryptQueue() }, { n: 1024 });

test("a password matches its own verifier and no other one", async () => {
  const verifier = await passwords.derive("correct horse");
  expect(await passwords.verify("correct horse", verifier)).toBe(true);
  expect(await passwords.verify("correct horse ", verifier)).toBe(false);
  expect(await passwords.verify("", verifier)).toBe(false);
});

test("a verifier fits the registry's schema, has its own salt and does not hold the password", async () => {
  const verifier = await passwords.derive("correct horse");
  expect(Value.Check(PasswordVerifier, verifier)).toBe(true);
  expect(verifier).toMatchObject({ kdf: "scrypt", n: 1024, r: 8, p: 1 });
  expect((await passwords.derive("correct horse")).salt).not.toBe(verifier.salt);
  expect(JSON.stringify(verifier)).not.toContain("correct");
});

test("a verifier of another cost is checked at its own cost", async () => {
  const dearer = new ScryptPasswords({ kdf: new ScryptQueue() }, { n: 2048 });
  expect(await passwords.verify("correct horse", await dearer.derive("correct horse"))).toBe(true);
});

test("an unknown user never matches, whatever the password", async () => {
  expect(await passwords.verify("correct horse", null)).toBe(false);
  expect(await passwords.verify("", null)).toBe(false);
});

test.each(["stored_key", "salt"] as const)("a verifier with a damaged %s matches nothing", async (field) => {
  const verifier = await passwords.derive("correct horse");
  expect(await passwords.verify("correct horse", { ...verifier, [field]: "AAAA" })).toBe(false);
  expect(await passwords.verify("correct horse", { ...verifier, [field]: "" })).toBe(false);
});
