import { createHmac, createSecretKey, randomBytes } from "node:crypto";

import type { ScryptCost } from "./kdf.ts";

/** Passwords remembered at most: an agent makes a user or joins a cluster seldom, and one login follows. */
const RECENT_MAX = 8;

/** What beside the password goes into scrypt; the salt in base64. */
export interface Salting extends ScryptCost {
  readonly salt: string;
}

/**
 * Stored keys of passwords that were made here, or proved right here, a moment ago: whoever creates a cluster, joins one or adds
 * a user asks this agent with the same password next, and need not wait for a second hash of it.
 *
 * A stored key is no secret towards this process: the registry has it. The passwords are kept as MACs with a key that is
 * random and never leaves this object. Each entry serves one login.
 */
export class RecentKeys {
  readonly #macKey = createSecretKey(randomBytes(32));
  readonly #storedKeys = new Map<string, Uint8Array>();

  /** Only for a password that is known to be right, so that the time of an answer tells nothing about wrong ones. */
  remember(password: string, salting: Salting, storedKey: Uint8Array): void {
    this.#storedKeys.set(this.#keyOf(password, salting), storedKey);
    if (this.#storedKeys.size <= RECENT_MAX) return;
    for (const oldest of this.#storedKeys.keys()) {
      this.#storedKeys.delete(oldest);
      return;
    }
  }

  /** The stored key, and forgets it; undefined when it has to be derived. */
  take(password: string, salting: Salting): Uint8Array | undefined {
    const key = this.#keyOf(password, salting);
    const storedKey = this.#storedKeys.get(key);
    this.#storedKeys.delete(key);
    return storedKey;
  }

  #keyOf(password: string, { salt, n, r, p }: Salting): string {
    return createHmac("sha256", this.#macKey)
      .update(JSON.stringify([password.normalize("NFC"), salt, n, r, p]))
      .digest("base64");
  }
}
