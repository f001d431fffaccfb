import { CHAIN_CHARS_MAX, JoinChallenge, PasswordChallenge, type JoinMeans } from "./join-messages.ts";
import { decodeToken, type TokenContent } from "./token.ts";
import type { JoinProofs, Scram, ScramBinding } from "#agent/ports/credentials.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { JoinCredentials } from "#shared/bootstrap/config.ts";
import { AppError } from "#shared/errors/app-error.ts";

/** A proof, and whether the sponsor's answer to it proves the sponsor. */
interface Proven {
  readonly proof: string;
  readonly confirmedBy: (serverSignature: string | undefined) => boolean;
}

/** A host's part in one conversation. */
interface Proof {
  readonly means: JoinMeans;
  readonly nonce: string;
  /** What the sponsor has to answer. */
  readonly challenge: typeof JoinChallenge | typeof PasswordChallenge;
  /** Rejects with access_denied when the sponsor is not whom these credentials are for. */
  prove(challenge: JoinChallenge | PasswordChallenge, binding: ScramBinding): Promise<Proven>;
}

/** How a host proves that it may join: by a token, a certificate or a password. */
export interface Prover {
  /** What the token says; null without one. Nobody but its peers may be spoken to then. */
  readonly token: TokenContent | null;
  /** For one conversation. */
  begin(): Proof;
}

/** Throws config_error when the credentials cannot be used. */
export function proverOf(
  deps: { readonly scram: Scram; readonly proofs: JoinProofs },
  credentials: JoinCredentials,
): Prover {
  const { token, clientCert, clientKey = "", trustedCa } = credentials;
  if (isGiven(trustedCa)) deps.proofs.certificates.demandAuthorities(trustedCa);
  if (isGiven(token)) return byToken(deps, decodeToken(token));
  if (isGiven(clientCert)) return byCertificate(deps, clientCert, clientKey);
  return { token: null, begin: () => byPassword(deps, credentials) };
}

/** Whether this peer may be asked with these credentials. */
export function mayTrust({ token }: Prover, peer: MemberId): boolean {
  return token === null || token.peers.some((one) => one.peer === peer);
}

function isGiven(text: string | undefined): text is string {
  return text !== undefined && text !== "";
}

function byPassword({ scram }: { readonly scram: Scram }, credentials: JoinCredentials): Proof {
  const client = scram.client(credentials);
  return {
    means: { by: "password", username: client.first.username },
    nonce: client.first.nonce,
    challenge: PasswordChallenge,
    prove: async (challenge, binding) => {
      if (!("salt" in challenge)) throw new AppError("access_denied", {});
      const { proof, confirmedBy } = await client.prove(challenge, binding);
      return { proof, confirmedBy: (signature) => signature !== undefined && confirmedBy(signature) };
    },
  };
}

function byToken({ proofs }: { readonly proofs: JoinProofs }, token: TokenContent): Prover {
  const begin = (): Proof => ({
    means: { by: "token", id: token.id },
    nonce: proofs.nonce(),
    challenge: JoinChallenge,
    prove: async (challenge, binding) => {
      if (challenge.cluster_id !== token.clusterId) {
        throw new AppError(
          "access_denied",
          {},
          "the agent there is in another cluster than the token is for",
        );
      }
      const { proof, confirmedBy } = proofs.tokens.prove(token.secret, binding);
      return { proof, confirmedBy: (signature) => signature !== undefined && confirmedBy(signature) };
    },
  });
  return { token, begin };
}

function byCertificate(
  { proofs }: { readonly proofs: JoinProofs },
  certificate: string,
  key: string,
): Prover {
  const holder = proofs.certificates.holder({ certificate, key });
  if (holder.chain.length > CHAIN_CHARS_MAX) {
    const rule = `may have at most ${CHAIN_CHARS_MAX} characters`;
    throw new AppError("config_error", { field: "credentials.client_cert", rule });
  }
  const begin = (): Proof => ({
    means: { by: "certificate", chain: holder.chain },
    nonce: proofs.nonce(),
    challenge: JoinChallenge,
    prove: async (_challenge, binding) => ({
      proof: holder.sign(binding),
      // The cluster's side is proven by its API's certificate, or not at all: see Contact.
      confirmedBy: () => true,
    }),
  });
  return { token: null, begin };
}
