import type { EpochMs } from "#shared/lib/time.ts";
import type { PasswordVerifier, TokenKeys } from "#shared/registry/command.ts";

/** A user's name and password as a caller gave them. Never logged, never stored. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Password work. Hashes run one at a time: the thread pool is shared with the log (docs/adr). */
export interface Passwords {
  /** Makes a verifier with a fresh salt. */
  derive(password: string): Promise<PasswordVerifier>;
  /** Constant-time. `null` stands for an unknown user and takes as long. Rejects with overloaded when too many wait. */
  verify(password: string, verifier: PasswordVerifier | null): Promise<boolean>;
}

/** How the client opens: who it says it is, and its nonce (base64). */
export interface ScramFirst {
  readonly username: string;
  readonly nonce: string;
}

/** What the server answers: its own nonce and how to make the key of the password. Binary values in base64. */
export interface ScramChallenge {
  readonly nonce: string;
  readonly salt: string;
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

/**
 * Texts that both sides know for themselves and that the proof must cover beside the exchange itself: the two proven peer
 * ids, the cluster id, and all they have said. It takes the place of channel binding: a proof relayed to another
 * agent, or made for another cluster, does not verify.
 */
export type ScramBinding = readonly string[];

/** The side that knows the password. */
export interface ScramClient {
  readonly first: ScramFirst;
  /** Rejects with access_denied when the challenge is too weak or too costly, with overloaded when too many hashes wait. */
  prove(challenge: ScramChallenge, binding: ScramBinding): Promise<ScramProof>;
}

export interface ScramProof {
  /** For the server; base64. */
  readonly proof: string;
  /** Whether the server proved that it knows the verifier. Nothing it says may be trusted before. */
  readonly confirmedBy: (serverSignature: string) => boolean;
}

/** The side that knows the verifier. */
export interface ScramServer {
  readonly challenge: ScramChallenge;
  /** The server's signature (base64) when the proof is right, else null. Constant-time; costs no hash. */
  check(proof: string, binding: ScramBinding): string | null;
}

/** Mutual proof of a password without sending it: SCRAM-SHA-256 (RFC 5802, RFC 7677) with scrypt as its Hi(). */
export interface Scram {
  client(credentials: Credentials): ScramClient;
  /**
   * `user` null: nobody of that name; the conversation looks the same to the end and fails. `reference` is a real verifier, the
   * same on all agents of a cluster: it gives an unknown user's cost parameters and the secret for a lasting salt.
   */
  server(first: ScramFirst, user: PasswordVerifier | null, reference: PasswordVerifier): ScramServer;
}

/** A fresh join token, and what the cluster keeps of it. */
export interface DrawnToken {
  /** Names it in lists; no secret. */
  readonly id: string;
  /** 256 random bits, base64url. */
  readonly secret: string;
  readonly keys: TokenKeys;
}

/**
 * Mutual proof of a join token's secret: SCRAM's keys and exchange (RFC 5802, section 3) without its slow hash, which only weak
 * secrets need. What is signed is the binding alone; it holds both sides' nonces.
 */
export interface TokenSecrets {
  draw(): DrawnToken;
  /** The side that has the secret. */
  prove(secret: string, binding: ScramBinding): ScramProof;
  /**
   * The side that has the keys: its signature (base64) when the proof is right, else null. Constant-time. `null` stands for a
   * token that is not known; it takes as long.
   */
  check(keys: TokenKeys | null, proof: string, binding: ScramBinding): string | null;
}

/** A certificate and its key, ready to be shown. */
export interface CertificateHolder {
  /** The certificate and those of its issuers that came with it, in PEM and with nothing else in it. */
  readonly chain: string;
  /** Signs with the key; base64. */
  readonly sign: (binding: ScramBinding) => string;
}

/** Proof by X.509 certificates (RFC 5280) with RSA, EC or Ed25519 keys. */
export interface Certificates {
  /** Throws config_error naming credentials.client_cert or credentials.client_key when they cannot be read or do not fit. */
  holder(pem: { readonly certificate: string; readonly key: string }): CertificateHolder;
  /** Throws config_error naming credentials.trusted_ca when there is no certificate in it. */
  demandAuthorities(pem: string): void;
  /**
   * The common name of whoever signed the binding with the key of this chain's first certificate. Throws access_denied with the
   * reason when the signature is wrong, or the chain leads to none of `trustedCa`, or a certificate in it is not valid at `at`.
   */
  holderOf(shown: {
    readonly chain: string;
    readonly signature: string;
    readonly binding: ScramBinding;
    readonly trustedCa: string;
    readonly at: EpochMs;
  }): string;
}

/** The ways to prove that one may join, beside a password. */
export interface JoinProofs {
  /** 192 random bits, base64: what makes one conversation unlike any other. */
  nonce(): string;
  readonly tokens: TokenSecrets;
  readonly certificates: Certificates;
}
