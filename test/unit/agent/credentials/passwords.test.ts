import { describe, expect, test, vi } from "vitest";

import { ScryptQueue } from "#agent/credentials/kdf.ts";
import { ScryptPasswords } from "#agent/credentials/passwords.ts";
import { passwordsSuite } from "#test/suites/passwords.ts";
import { FakePasswords } from "#test/support/fake-passwords.ts";

const scrypt = (n = 1024): ScryptPasswords => new ScryptPasswords({ kdf: new ScryptQueue() }, { n });
/** Makes verifiers as another agent would, so that nothing about them is remembered where they are checked. */
const elsewhere = scrypt();

passwordsSuite("ScryptPasswords", scrypt);
passwordsSuite("ScryptPasswords with another agent's verifiers", () => {
  const here = scrypt();
  return {
    derive: (password) => elsewhere.derive(password),
    verify: (password, verifier) => here.verify(password, verifier),
  };
});
passwordsSuite("FakePasswords", () => new FakePasswords());

test("a verifier tells its cost, and one of another cost is checked at its own", async () => {
  const dearer = await scrypt(2048).derive("correct horse");
  expect(dearer).toMatchObject({ kdf: "scrypt", n: 2048, r: 8, p: 1 });
  expect(await scrypt().verify("correct horse", dearer)).toBe(true);
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
