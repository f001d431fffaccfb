import { X509Certificates } from "./certificates.ts";
import { newNonce } from "./keys.ts";
import { RandomTokenSecrets } from "./token-secrets.ts";
import type { JoinProofs } from "#agent/ports/credentials.ts";

/** Tokens and certificates. Keeps nothing, so that one serves a whole agent. */
export function joinProofs(): JoinProofs {
  return { nonce: newNonce, tokens: new RandomTokenSecrets(), certificates: new X509Certificates() };
}
