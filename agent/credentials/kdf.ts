import { scrypt } from "node:crypto";

import { RecentKeys } from "./recent-keys.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { PASSWORD_HASHES_WAITING_MAX } from "#shared/lib/limits.ts";

/** Length of the key that scrypt makes of a password: the output of SHA-256, as SCRAM's Hi() has it. */
export const KEY_BYTES = 32;

/** scrypt cost: N (a power of two), r, p. Memory is 128·N·r bytes, work grows with N·r·p (RFC 7914, section 2). */
export interface ScryptCost {
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

/**
 * scrypt, one at a time and in order. The log's fsyncs share libuv's threads with it: sixteen hashes at once raised a
 * synced put from 0.3 ms to 426 ms, so that guessing passwords could cost a leader its term.
 */
export class ScryptQueue {
  /** What need not be derived again. */
  readonly recent = new RecentKeys();
  readonly #waitingMax: number;
  #last: Promise<unknown> = Promise.resolve();
  /** Those that run or wait. */
  #pending = 0;

  constructor(options: { readonly waitingMax?: number } = {}) {
    this.#waitingMax = options.waitingMax ?? PASSWORD_HASHES_WAITING_MAX;
  }

  /**
   * Makes the key of a password. Passwords are compared in Unicode form NFC (RFC 8265, section 4.2.2), so that an accent typed
   * on another keyboard is the same. Rejects with overloaded when too many wait.
   */
  async derive(password: string, salt: Uint8Array, cost: ScryptCost): Promise<Buffer> {
    if (this.#pending > this.#waitingMax)
      throw new AppError("overloaded", { what: "the checking of passwords" });
    this.#pending += 1;
    const turn = this.#last.then(() => hash(password.normalize("NFC"), salt, cost));
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#pending -= 1;
    }
  }
}

function hash(password: string, salt: Uint8Array, { n, r, p }: ScryptCost): Promise<Buffer> {
  // OpenSSL counts a little more than 128·N·r; the true bound on cost is what callers accept as parameters.
  const options = { N: n, r, p, maxmem: 256 * n * r + 256 * r * p };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, KEY_BYTES, options, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}
