import { createHash, randomBytes } from "node:crypto";

import type { Passwords } from "#agent/ports/credentials.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { PASSWORD_HASHES_WAITING_MAX } from "#shared/lib/limits.ts";
import type { PasswordVerifier } from "#shared/registry/command.ts";

/** Passwords that cost no time, but are counted; `hold` makes checks wait until they are released. */
export class FakePasswords implements Passwords {
  /** Checks so far, each of which would have been a hash. */
  hashes = 0;
  /** Of these, checks of a user that does not exist. */
  dummies = 0;
  #pending = 0;
  #held: PromiseWithResolvers<void> | null = null;

  hold(): void {
    this.#held = Promise.withResolvers();
  }

  release(): void {
    this.#held?.resolve();
    this.#held = null;
  }

  verifier(password: string): PasswordVerifier {
    const salt = randomBytes(8).toString("base64");
    const stored_key = keyOf(password, salt);
    return { kdf: "scrypt", n: 1024, r: 8, p: 1, salt, stored_key, server_key: stored_key };
  }

  async derive(password: string): Promise<PasswordVerifier> {
    return this.verifier(password);
  }

  async verify(password: string, verifier: PasswordVerifier | null): Promise<boolean> {
    // One works, the others wait.
    if (this.#pending > PASSWORD_HASHES_WAITING_MAX) {
      throw new AppError("overloaded", { what: "the checking of passwords" });
    }
    this.hashes += 1;
    if (verifier === null) this.dummies += 1;
    this.#pending += 1;
    await this.#held?.promise;
    this.#pending -= 1;
    return verifier !== null && keyOf(password, verifier.salt) === verifier.stored_key;
  }
}

function keyOf(password: string, salt: string): string {
  return createHash("sha256").update(salt).update(password.normalize("NFC")).digest("base64");
}
