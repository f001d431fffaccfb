import { describe, expect, test, vi } from "vitest";
import { Value } from "typebox/value";

import { ScryptQueue } from "#agent/credentials/kdf.ts";
import { ScryptPasswords } from "#agent/credentials/passwords.ts";
import { PasswordVerifier } from "#shared/registry/command.ts";

const passwords = new ScryptPasswords({ kdf: new ScryptQueue() }, { n: 1024 });
/** Makes verifiers as another agent would, so that nothing about them is remembered where they are checked. */
const elsewhere = new ScryptPasswords({ kdf: new ScryptQueue() }, { n: 1024 });

test("a password matches its own verifier and no other one", async () => {
  const verifier = await elsewhere.derive("correct horse");
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
  const verifier = await elsewhere.derive("correct horse");
  expect(await passwords.verify("correct horse", { ...verifier, [field]: "AAAA" })).toBe(false);
  expect(await passwords.verify("correct horse", { ...verifier, [field]: "" })).toBe(false);
});

describe("a password that was made here a moment ago", () => {
  async function made() {
    const kdf = new ScryptQueue();
    const here = new ScryptPasswords({ kdf }, { n: 1024 });
    const verifier = await here.derive("caf\u00e9 au lait");
    return { here, verifier, hashes: vi.spyOn(kdf, "derive") };
  }

  test("is not hashed again for the first login, however its accents are typed", async () => {
    const { here, verifier, hashes } = await made();
    expect(await here.verify("cafe\u0301 au lait", verifier)).toBe(true);
    expect(hashes).not.toHaveBeenCalled();
    expect(await here.verify("caf\u00e9 au lait", verifier)).toBe(true);
    expect(hashes).toHaveBeenCalledTimes(1);
  });

  test("another password is hashed, and refused", async () => {
    const { here, verifier, hashes } = await made();
    expect(await here.verify("cafe au lait", verifier)).toBe(false);
    expect(hashes).toHaveBeenCalledTimes(1);
  });

  test("the same password of another user, or at another cost, is hashed", async () => {
    const { here, verifier, hashes } = await made();
    const dearer = new ScryptPasswords({ kdf: new ScryptQueue() }, { n: 2048 });
    expect(await here.verify("caf\u00e9 au lait", await elsewhere.derive("something else"))).toBe(false);
    expect(await here.verify("caf\u00e9 au lait", { ...verifier, n: 2048 })).toBe(false);
    expect(await here.verify("caf\u00e9 au lait", await dearer.derive("caf\u00e9 au lait"))).toBe(true);
    expect(hashes).toHaveBeenCalledTimes(3);
  });

  test("is no pass when the user's key has changed meanwhile", async () => {
    const { here, verifier } = await made();
    const { stored_key } = await elsewhere.derive("another one");
    expect(await here.verify("caf\u00e9 au lait", { ...verifier, stored_key })).toBe(false);
  });

  test("is forgotten when enough others were made after it", async () => {
    const { here, verifier, hashes } = await made();
    for (let i = 0; i < 8; i += 1) await here.derive(`another ${i}`);
    hashes.mockClear();
    expect(await here.verify("caf\u00e9 au lait", verifier)).toBe(true);
    expect(hashes).toHaveBeenCalledTimes(1);
  });
});
