import { expect, test } from "vitest";

import { ScryptQueue } from "#agent/credentials/kdf.ts";
import { isKind } from "#shared/errors/app-error.ts";

const CHEAP = { n: 1024, r: 8, p: 1 };

test("the key is scrypt's: RFC 7914, section 12, third vector (first 32 bytes)", async () => {
  const kdf = new ScryptQueue();
  const key = await kdf.derive("pleaseletmein", Buffer.from("SodiumChloride"), { n: 16_384, r: 8, p: 1 });
  expect(key.toString("hex")).toBe("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2");
});

test("an accent typed as one character or as two is the same password (RFC 8265, section 4.2.2)", async () => {
  const kdf = new ScryptQueue();
  const salt = Buffer.from("salt");
  const composed = await kdf.derive("caf\u00e9", salt, CHEAP);
  expect(await kdf.derive("cafe\u0301", salt, CHEAP)).toEqual(composed);
});

test("hashes run in the order in which they were asked for, whatever each costs", async () => {
  const kdf = new ScryptQueue();
  const salt = Buffer.from("salt");
  const done: string[] = [];
  await Promise.all([
    kdf.derive("a", salt, { n: 16_384, r: 8, p: 1 }).then(() => done.push("dear")),
    kdf.derive("b", salt, CHEAP).then(() => done.push("cheap")),
  ]);
  expect(done).toEqual(["dear", "cheap"]);
});

test("one too many is refused as overloaded, and the queue is free again afterwards", async () => {
  const kdf = new ScryptQueue({ waitingMax: 2 });
  const salt = Buffer.from("salt");
  const taken = Array.from({ length: 3 }, () => kdf.derive("a", salt, CHEAP));
  await expect(kdf.derive("a", salt, CHEAP)).rejects.toSatisfy((error) => isKind(error, "overloaded"));
  await Promise.all(taken);
  await expect(kdf.derive("a", salt, CHEAP)).resolves.toHaveLength(32);
});

test("a hash that fails does not hold up the next one", async () => {
  const kdf = new ScryptQueue();
  const salt = Buffer.from("salt");
  const bad = kdf.derive("a", salt, { n: 1000, r: 8, p: 1 }); // No power of two.
  const good = kdf.derive("a", salt, CHEAP);
  await expect(bad).rejects.toThrow(Error);
  await expect(good).resolves.toHaveLength(32);
});
