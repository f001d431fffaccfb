import {
  clientKeyOf,
  fromBase64,
  hmac,
  newNonce,
  sameKey,
  serverKeyOf,
  storedKeyOf,
  toBase64,
  xor,
} from "./keys.ts";
import { KEY_BYTES, type ScryptCost, type ScryptQueue } from "./kdf.ts";
import type {
  Credentials,
  Scram,
  ScramBinding,
  ScramChallenge,
  ScramClient,
  ScramFirst,
  ScramProof,
  ScramServer,
} from "#agent/ports/credentials.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { canonicalJson } from "#shared/lib/order.ts";
import type { PasswordVerifier } from "#shared/registry/command.ts";

/** Names the protocol in what is signed, so that no signature of another one fits. */
const LABEL = "muster SCRAM-SHA-256 with scrypt, 1";
const SALT_BYTES = 16;
/** Least cost a client accepts: a false server must not get a proof that is cheap to guess the password from. */
const N_MIN = 1 << 14;
const R_MIN = 8;
/** Most work and memory a client accepts (128·N·r·p bytes): a false server must not exhaust it. */
const COST_BYTES_MAX = 256 * 1024 * 1024;

/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677) with two changes: scrypt in place of PBKDF2, and in place of channel binding the
 * texts that both sides know for themselves (see ScramBinding). What is signed is JSON with ordered keys.
 */
export class ScramSha256 implements Scram {
  readonly #kdf: ScryptQueue;
  readonly #nMin: number;

  constructor(deps: { readonly kdf: ScryptQueue }, options: { readonly nMin?: number } = {}) {
    this.#kdf = deps.kdf;
    this.#nMin = options.nMin ?? N_MIN;
  }

  client({ username, password }: Credentials): ScramClient {
    const first: ScramFirst = { username, nonce: newNonce() };
    return { first, prove: (challenge, binding) => this.#prove(password, first, challenge, binding) };
  }

  server(first: ScramFirst, user: PasswordVerifier | null, reference: PasswordVerifier): ScramServer {
    const verifier = user ?? decoy(first.username, reference);
    const { salt, n, r, p } = verifier;
    const challenge: ScramChallenge = { nonce: newNonce(), salt, n, r, p };
    const check = (proof: string, binding: ScramBinding): string | null => {
      const signed = authMessage(first, challenge, binding);
      const storedKey = fromBase64(verifier.stored_key);
      const given = fromBase64(proof);
      // As much work for an unknown user and for a proof of the wrong length.
      const clientKey = xor(given, hmac(storedKey, signed));
      const signature = toBase64(hmac(fromBase64(verifier.server_key), signed));
      const right = sameKey(storedKeyOf(clientKey), storedKey) && given.length === KEY_BYTES;
      return right && user !== null ? signature : null;
    };
    return { challenge, check };
  }

  async #prove(
    password: string,
    first: ScramFirst,
    challenge: ScramChallenge,
    binding: ScramBinding,
  ): Promise<ScramProof> {
    const { salt, n, r, p } = challenge;
    this.#refuseUnfitCost({ n, r, p });
    const salted = await this.#kdf.derive(password, fromBase64(salt), { n, r, p });
    const signed = authMessage(first, challenge, binding);
    const clientKey = clientKeyOf(salted);
    const storedKey = storedKeyOf(clientKey);
    const proof = xor(clientKey, hmac(storedKey, signed));
    const expected = hmac(serverKeyOf(salted), signed);
    const confirmedBy = (serverSignature: string): boolean => {
      const confirmed = sameKey(fromBase64(serverSignature), expected);
      if (confirmed) this.#kdf.recent.remember(password, challenge, storedKey);
      return confirmed;
    };
    return { proof: toBase64(proof), confirmedBy };
  }

  #refuseUnfitCost({ n, r, p }: ScryptCost): void {
    const whole = [n, r, p].every((value) => Number.isSafeInteger(value) && value > 0);
    const fits = whole && Number.isInteger(Math.log2(n)) && 128 * n * r * p <= COST_BYTES_MAX;
    if (fits && n >= this.#nMin && r >= R_MIN) return;
    const text = `the other side asks for a password hash of unfit cost (scrypt N=${n}, r=${r}, p=${p})`;
    throw new AppError("access_denied", {}, text);
  }
}

/**
 * What an unknown user's verifier looks like. The salt depends on the name and a secret of the cluster, so that asking twice,
 * or asking two agents, gives the same answer as for a real user (RFC 5802, section 9, on what salts may tell).
 */
function decoy(username: string, reference: PasswordVerifier): PasswordVerifier {
  const secret = fromBase64(reference.server_key);
  const salt = hmac(secret, `${LABEL}: salt of ${username}`).subarray(0, SALT_BYTES);
  const keys = toBase64(hmac(secret, `${LABEL}: keys of ${username}`));
  return { ...reference, salt: toBase64(salt), stored_key: keys, server_key: keys };
}

function authMessage(first: ScramFirst, challenge: ScramChallenge, binding: ScramBinding): string {
  const { nonce, salt, n, r, p } = challenge;
  return canonicalJson([LABEL, first.username, first.nonce, nonce, salt, n, r, p, binding]);
}
