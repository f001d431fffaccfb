import { hash, randomBytes } from "node:crypto";

import type { Principal } from "#agent/api/ports.ts";
import { Attempts } from "#agent/api/auth/attempts.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Credentials, Passwords } from "#agent/ports/credentials.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { VERIFIED_CREDENTIALS_MAX } from "#shared/lib/limits.ts";
import type { User } from "#shared/registry/state.ts";

/** How long a password that was checked is believed without a hash. Milliseconds. */
const VERIFIED_MS = 5 * 60_000;

interface Deps {
  readonly clock: Clock;
  readonly passwords: Passwords;
  /** The users as they are now; records are replaced, never mutated. */
  readonly users: () => ReadonlyMap<string, User>;
}

/**
 * Checks names and passwords against the users of the registry. A hash is paid for once per user and password in
 * VERIFIED_MS; everybody who asks meanwhile with the same credentials waits for that one hash.
 *
 * Invariant: a changed or deleted user is refused from the moment the registry says so, because the cache's key is made
 * of the user's verifier, too. An unknown user costs as much as a wrong password.
 */
export class Verifier {
  readonly #deps: Deps;
  readonly #attempts: Attempts;
  readonly #secret = randomBytes(32).toString("hex");
  /** Key → monotonic time until which it is believed, oldest first. */
  readonly #verified = new Map<string, number>();
  readonly #checking = new Map<string, Promise<boolean>>();

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#attempts = new Attempts(deps);
  }

  /**
   * Who that is; at once where the password is known to be right. Throws or rejects with AppError unauthenticated,
   * too_many_attempts, or overloaded.
   */
  check(credentials: Credentials, source: string): Principal | Promise<Principal> {
    const user = this.#deps.users().get(credentials.username) ?? null;
    const key = this.#keyOf(credentials, user);
    const believedUntil = this.#verified.get(key);
    if (user !== null && believedUntil !== undefined) {
      if (this.#deps.clock.monotonicMs() < believedUntil) return principalOf(user);
      this.#verified.delete(key);
    }
    return this.#checkSlowly(credentials, user, key, source);
  }

  async #checkSlowly(
    credentials: Credentials,
    user: User | null,
    key: string,
    source: string,
  ): Promise<Principal> {
    let checking = this.#checking.get(key);
    if (checking === undefined) {
      checking = this.#hash(credentials, user, key, source).finally(() => this.#checking.delete(key));
      this.#checking.set(key, checking);
    }
    const right = await checking;
    // The user may have been changed or deleted during the hash.
    const current = this.#deps.users().get(credentials.username);
    if (!right || user === null || current?.verifier !== user.verifier) {
      throw new AppError("unauthenticated", {});
    }
    return principalOf(current);
  }

  async #hash(credentials: Credentials, user: User | null, key: string, source: string): Promise<boolean> {
    const attempt = this.#attempts.begin(credentials.username, source);
    const right = await this.#deps.passwords
      .verify(credentials.password, user?.verifier ?? null)
      .catch((error: unknown) => {
        attempt.abandoned();
        throw error;
      });
    if (!right || user === null) return false;
    attempt.succeeded();
    this.#believe(key);
    return true;
  }

  #believe(key: string): void {
    this.#verified.delete(key);
    this.#verified.set(key, this.#deps.clock.monotonicMs() + VERIFIED_MS);
    if (this.#verified.size <= VERIFIED_CREDENTIALS_MAX) return;
    for (const oldest of this.#verified.keys()) {
      this.#verified.delete(oldest);
      return;
    }
  }

  /**
   * No password can be found again from a key: the secret in front is random and never leaves this object, and nor do the keys. That
   * makes a plain hash in one call enough; an HMAC would guard against who sees some keys and lengthens them, for four times the price.
   */
  #keyOf({ username, password }: Credentials, user: User | null): string {
    const { salt = "", stored_key = "" } = user?.verifier ?? {};
    return hash("sha256", this.#secret + JSON.stringify([username, password, salt, stored_key]), "base64");
  }
}

function principalOf({ name, role }: User): Principal {
  return { name, role };
}
