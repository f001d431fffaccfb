import type {
  Credentials,
  Passwords,
  Scram,
  ScramBinding,
  ScramChallenge,
  ScramClient,
  ScramFirst,
  ScramProof,
  ScramServer,
} from "#agent/ports/credentials.ts";
import { fnv1a64 } from "#shared/registry/digest.ts";
import type { PasswordVerifier } from "#shared/registry/command.ts";

const SALT = toBase64("salt");

/** Password work that costs nothing and draws nothing: a proof binds the password and all that was said, and hides nothing. */
export class SimCredentials implements Passwords, Scram {
  derive(password: string): Promise<PasswordVerifier> {
    const stored_key = keyOf(password);
    return Promise.resolve({
      kdf: "scrypt",
      n: 1024,
      r: 8,
      p: 1,
      salt: SALT,
      stored_key,
      server_key: stored_key,
    });
  }

  verify(password: string, verifier: PasswordVerifier | null): Promise<boolean> {
    return Promise.resolve(verifier?.stored_key === keyOf(password));
  }

  client({ username, password }: Credentials): ScramClient {
    const first = { username, nonce: toBase64("joiner") };
    return {
      first,
      prove: (challenge, binding): Promise<ScramProof> => {
        const key = keyOf(password);
        return Promise.resolve({
          proof: signed("client", key, first, challenge, binding),
          confirmedBy: (signature) => signature === signed("server", key, first, challenge, binding),
        });
      },
    };
  }

  server(first: ScramFirst, user: PasswordVerifier | null): ScramServer {
    const challenge: ScramChallenge = { nonce: toBase64("sponsor"), salt: SALT, n: 1024, r: 8, p: 1 };
    return {
      challenge,
      check: (proof, binding) => {
        if (user === null || proof !== signed("client", user.stored_key, first, challenge, binding))
          return null;
        return signed("server", user.stored_key, first, challenge, binding);
      },
    };
  }
}

function signed(
  who: string,
  key: string,
  first: ScramFirst,
  { nonce }: ScramChallenge,
  binding: ScramBinding,
): string {
  return toBase64(fnv1a64(JSON.stringify([who, key, first, nonce, binding])));
}

function keyOf(password: string): string {
  return toBase64(fnv1a64(password));
}

function toBase64(text: string): string {
  return Buffer.from(text).toString("base64");
}
