import { Value } from "typebox/value";
import { beforeEach, describe, expect, test } from "vitest";

import type { Passwords } from "#agent/ports/credentials.ts";
import { isKind } from "#shared/errors/app-error.ts";
import { PASSWORD_HASHES_WAITING_MAX } from "#shared/lib/limits.ts";
import { PasswordVerifier } from "#shared/registry/command.ts";

/**
 * What every implementation of Passwords (agent/ports/credentials.ts) must do. That comparing takes the same time whatever
 * differs cannot be seen from outside by a test that never lies.
 */
export function passwordsSuite(name: string, make: () => Passwords): void {
  describe(name, () => {
    let passwords: Passwords;
    let verifier: PasswordVerifier;

    beforeEach(async () => {
      passwords = make();
      verifier = await passwords.derive("correct horse");
    });

    test("a password matches its own verifier and no other one", async () => {
      expect(await passwords.verify("correct horse", verifier)).toBe(true);
      expect(await passwords.verify("correct horse", await passwords.derive("another"))).toBe(false);
      for (const wrong of ["correct horse ", "Correct horse", "correct hors", ""]) {
        expect(await passwords.verify(wrong, verifier)).toBe(false);
      }
    });

    test("an unknown user never matches, whatever the password", async () => {
      for (const password of ["correct horse", ""]) {
        expect(await passwords.verify(password, null)).toBe(false);
      }
    });

    test("a verifier fits the registry's schema, does not hold the password, and has its own salt", async () => {
      expect(Value.Check(PasswordVerifier, verifier)).toBe(true);
      expect(JSON.stringify(verifier)).not.toContain("correct");
      const other = await passwords.derive("correct horse");
      expect(other.salt).not.toBe(verifier.salt);
      expect(other.stored_key).not.toBe(verifier.stored_key);
    });

    test("a verifier may have been to the registry and back", async () => {
      const back = JSON.parse(JSON.stringify(verifier)) as PasswordVerifier;
      expect(await passwords.verify("correct horse", back)).toBe(true);
    });

    test("an accent is the same on every keyboard: Unicode form NFC", async () => {
      const composed = await passwords.derive("caf\u00E9");
      expect(await passwords.verify("cafe\u0301", composed)).toBe(true);
      expect(await passwords.verify("cafe", composed)).toBe(false);
    });

    test.each(["stored_key", "salt"] as const)("a damaged %s matches nothing", async (field) => {
      for (const damaged of ["AAAA", ""]) {
        expect(await passwords.verify("correct horse", { ...verifier, [field]: damaged })).toBe(false);
      }
    });

    test("when too many wait, further ones are turned away, and later ones are served again", async () => {
      await passwords.verify("correct horse", verifier); // Whoever made it may know it for a moment.
      const many = Array.from({ length: PASSWORD_HASHES_WAITING_MAX + 1 }, () =>
        passwords.verify("correct horse", verifier),
      );
      const known = passwords.verify("correct horse", verifier);
      const unknown = passwords.verify("correct horse", null);
      const [turnedAway, turnedAwayToo, ...served] = await Promise.allSettled([known, unknown, ...many]);
      for (const each of [turnedAway, turnedAwayToo]) {
        expect(each.status === "rejected" && isKind(each.reason, "overloaded")).toBe(true);
      }
      for (const each of served) expect(each).toEqual({ status: "fulfilled", value: true });
      expect(await passwords.verify("correct horse", verifier)).toBe(true);
    });
  });
}
