import { randomBytes } from "node:crypto";

import { clientKeyOf, fromBase64, hmac, sameKey, serverKeyOf, storedKeyOf, toBase64, xor } from "./keys.ts";
import { KEY_BYTES } from "./kdf.ts";
import type { DrawnToken, ScramBinding, ScramProof, TokenSecrets } from "#agent/ports/credentials.ts";
import { canonicalJson } from "#shared/lib/order.ts";
import type { TokenKeys } from "#shared/registry/command.ts";

/** Names the protocol in what is signed, so that no signature of another one fits. */
const LABEL = "muster join token, HMAC-SHA-256, 1";
/** A token is named by so many random bytes: enough that no two of a cluster's life are alike. */
const ID_BYTES = 9;
const SECRET_BYTES = 32;

/** Stands in for a token that is not known, so that the answer takes as long. Its keys are of no secret. */
const NOBODY: TokenKeys = { stored_key: "", server_key: "" };

/** Secrets of join tokens, and the proof of them. */
export class RandomTokenSecrets implements TokenSecrets {
  draw(): DrawnToken {
    const secret = randomBytes(SECRET_BYTES);
    return {
      id: randomBytes(ID_BYTES).toString("base64url"),
      secret: secret.toString("base64url"),
      keys: {
        stored_key: toBase64(storedKeyOf(clientKeyOf(secret))),
        server_key: toBase64(serverKeyOf(secret)),
      },
    };
  }

  prove(secret: string, binding: ScramBinding): ScramProof {
    const key = Buffer.from(secret, "base64url");
    const signed = textOf(binding);
    const clientKey = clientKeyOf(key);
    const proof = xor(clientKey, hmac(storedKeyOf(clientKey), signed));
    const expected = hmac(serverKeyOf(key), signed);
    return {
      proof: toBase64(proof),
      confirmedBy: (signature) => sameKey(fromBase64(signature), expected),
    };
  }

  check(keys: TokenKeys | null, proof: string, binding: ScramBinding): string | null {
    const { stored_key, server_key } = keys ?? NOBODY;
    const signed = textOf(binding);
    const storedKey = fromBase64(stored_key);
    const given = fromBase64(proof);
    const clientKey = xor(given, hmac(storedKey, signed));
    const signature = toBase64(hmac(fromBase64(server_key), signed));
    const right = sameKey(storedKeyOf(clientKey), storedKey) && given.length === KEY_BYTES;
    return right && keys !== null ? signature : null;
  }
}

function textOf(binding: ScramBinding): string {
  return canonicalJson([LABEL, binding]);
}
