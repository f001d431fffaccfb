import { randomBytes } from "node:crypto";

import { clientKeyOf, fromBase64, sameKey, serverKeyOf, storedKeyOf, toBase64 } from "./keys.ts";
import type { ScryptCost, ScryptQueue } from "./kdf.ts";
import type { Passwords } from "#agent/ports/credentials.ts";
import type { PasswordVerifier } from "#shared/registry/command.ts";

/**
 * Cost of a new verifier: about 70 ms and 32 MiB on a core of 2020, twice the least that RFC 7914 recommends for interactive
 * logins. A verifier carries its own cost, so this may change at any time.
 */
const DEFAULT_COST: ScryptCost = { n: 1 << 15, r: 8, p: 1 };
/** Bytes of salt: RFC 7677 asks for no length; 16 is what NIST SP 800-132 has as the least. */
const SALT_BYTES = 16;

/** Verifiers of passwords by scrypt, in the form that SCRAM uses too. */
export class ScryptPasswords implements Passwords {
  readonly #kdf: ScryptQueue;
  readonly #cost: ScryptCost;
  /** Stands in for an unknown user, so that the answer takes as long. Its keys are of no password. */
  readonly #nobody: PasswordVerifier;

  constructor(deps: { readonly kdf: ScryptQueue }, options: { readonly n?: number } = {}) {
    this.#kdf = deps.kdf;
    this.#cost = { ...DEFAULT_COST, n: options.n ?? DEFAULT_COST.n };
    const zero = toBase64(new Uint8Array(SALT_BYTES));
    this.#nobody = { kdf: "scrypt", ...this.#cost, salt: zero, stored_key: "", server_key: "" };
  }

  async derive(password: string): Promise<PasswordVerifier> {
    const salt = randomBytes(SALT_BYTES);
    const salted = await this.#kdf.derive(password, salt, this.#cost);
    const storedKey = storedKeyOf(clientKeyOf(salted));
    const salting = { ...this.#cost, salt: toBase64(salt) };
    this.#kdf.recent.remember(password, salting, storedKey);
    return {
      kdf: "scrypt",
      ...salting,
      stored_key: toBase64(storedKey),
      server_key: toBase64(serverKeyOf(salted)),
    };
  }

  async verify(password: string, verifier: PasswordVerifier | null): Promise<boolean> {
    const salting = verifier ?? this.#nobody;
    const storedKey = this.#kdf.recent.take(password, salting) ?? (await this.#derive(password, salting));
    return sameKey(storedKey, fromBase64(salting.stored_key)) && verifier !== null;
  }

  async #derive(password: string, { salt, n, r, p }: PasswordVerifier): Promise<Buffer> {
    return storedKeyOf(clientKeyOf(await this.#kdf.derive(password, fromBase64(salt), { n, r, p })));
  }
}
