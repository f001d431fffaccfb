import {
  constants,
  createPrivateKey,
  sign,
  verify,
  X509Certificate,
  type KeyObject,
  type SignKeyObjectInput,
} from "node:crypto";

import type { CertificateHolder, Certificates, ScramBinding } from "#agent/ports/credentials.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { canonicalJson } from "#shared/lib/order.ts";
import type { EpochMs } from "#shared/lib/time.ts";

/** Names the protocol in what is signed, so that no signature of another one fits. */
const LABEL = "muster join by certificate, 1";
/** Certificates in one chain, the holder's own among them. */
const CHAIN_MAX = 5;
/** Authorities of one cluster that are looked at. */
const AUTHORITIES_MAX = 64;
/** Weaker RSA keys are no proof (NIST SP 800-131A). */
const RSA_BITS_MIN = 2048;
/** Extended key usage of a TLS client (RFC 5280, section 4.2.1.12), and the one that stands for any. */
const CLIENT_USES: ReadonlySet<string> = new Set(["1.3.6.1.5.5.7.3.2", "2.5.29.37.0"]);
const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Certificates by OpenSSL, as Node has it. A chain is followed by names, key identifiers, signatures, validity and the CA flag.
 * Nothing is asked of anybody else: a certificate is taken back by taking back the trust in its authority.
 */
export class X509Certificates implements Certificates {
  holder(pem: { readonly certificate: string; readonly key: string }): CertificateHolder {
    const wrong = (field: string, rule: string): AppError =>
      new AppError("config_error", { field: `credentials.${field}`, rule });
    const chain = parse(pem.certificate, CHAIN_MAX);
    const [own] = chain ?? [];
    if (chain === null || own === undefined) {
      throw wrong("client_cert", `must be one to ${CHAIN_MAX} certificates in PEM`);
    }
    const key = privateKey(pem.key);
    if (key === null) throw wrong("client_key", "must be a private key in PEM, not encrypted");
    if (!own.checkPrivateKey(key)) throw wrong("client_key", "is not the key of the certificate");
    if (!isStrong(key)) throw wrong("client_key", KEY_RULE);
    return {
      // Written anew, so that a key in the same file goes nowhere.
      chain: chain.map(String).join(""),
      sign: (binding) => sign(hashFor(key), textOf(binding), withPadding(key)).toString("base64"),
    };
  }

  demandAuthorities(pem: string): void {
    if ((parse(pem, AUTHORITIES_MAX) ?? []).length > 0) return;
    throw new AppError("config_error", {
      field: "credentials.trusted_ca",
      rule: "must be certificates in PEM",
    });
  }

  holderOf(shown: {
    readonly chain: string;
    readonly signature: string;
    readonly binding: ScramBinding;
    readonly trustedCa: string;
    readonly at: EpochMs;
  }): string {
    const { chain, signature, binding, trustedCa, at } = shown;
    const given = parse(chain, CHAIN_MAX);
    const [own, ...between] = given ?? [];
    if (given === null || own === undefined) throw denied("the certificate cannot be read");
    const key = own.publicKey;
    if (!isStrong(key)) throw denied(`the certificate's key ${KEY_RULE}`);
    if (!verify(hashFor(key), textOf(binding), withPadding(key), Buffer.from(signature, "base64"))) {
      throw denied("the joiner does not have the key of the certificate that it shows");
    }
    const trusted = parse(trustedCa, AUTHORITIES_MAX) ?? [];
    refuseUntrusted(own, between, trusted, at);
    if (own.keyUsage !== undefined && !own.keyUsage.some((use) => CLIENT_USES.has(use))) {
      throw denied("the certificate is not meant for clients (extended key usage clientAuth)");
    }
    const name: unknown = own.toLegacyObject().subject.CN;
    if (typeof name !== "string" || name === "")
      throw denied("the certificate has no common name, or several");
    return name;
  }
}

const KEY_RULE = `must be EC, Ed25519 or RSA of at least ${RSA_BITS_MIN} bits`;

function denied(text: string): AppError {
  return new AppError("access_denied", {}, text);
}

/** Throws access_denied unless issuers lead from the holder's certificate to a trusted one, all valid now. */
function refuseUntrusted(
  own: X509Certificate,
  between: readonly X509Certificate[],
  trusted: readonly X509Certificate[],
  at: EpochMs,
): void {
  let found = false;
  /** Whether a trusted certificate is reached within so many steps; each one may issue once on a path. */
  const leads = (from: X509Certificate, unused: readonly X509Certificate[]): boolean => {
    const issuers = (among: readonly X509Certificate[]): X509Certificate[] =>
      among.filter((one) => isIssuedBy(from, one));
    const roots = issuers(trusted);
    found ||= roots.length > 0;
    if (roots.some((root) => isValid(root, at))) return true;
    return issuers(unused).some(
      (next) =>
        isValid(next, at) &&
        leads(
          next,
          unused.filter((one) => one !== next),
        ),
    );
  };
  if (!isValid(own, at))
    throw denied(`the certificate is valid from ${own.validFrom} to ${own.validTo} only`);
  if (leads(own, between)) return;
  throw denied(
    found
      ? "the authority of the certificate is not valid any more, or not yet"
      : "the certificate comes from no authority that the cluster trusts",
  );
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  // checkIssued compares names, key identifiers and key usage; only verify looks at the signature.
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function isValid({ validFromDate, validToDate }: X509Certificate, at: EpochMs): boolean {
  return validFromDate.getTime() <= at && at <= validToDate.getTime();
}

/** The certificates of a text in their order, whatever stands between them; null when there are too many or one is none. */
function parse(pem: string, max: number): X509Certificate[] | null {
  const blocks = pem.match(BLOCK) ?? [];
  if (blocks.length > max) return null;
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return null;
  }
}

function privateKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem);
  } catch {
    return null;
  }
}

function isStrong({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): boolean {
  if (type === "rsa") return (details?.modulusLength ?? 0) >= RSA_BITS_MIN;
  return type === "ec" || type === "ed25519";
}

/** Ed25519 brings its own hash. */
function hashFor({ asymmetricKeyType }: KeyObject): string | null {
  return asymmetricKeyType === "ed25519" ? null : "sha256";
}

/** RSA with PSS (RFC 8017, section 8.1); the others know no padding. */
function withPadding(key: KeyObject): SignKeyObjectInput {
  if (key.asymmetricKeyType !== "rsa") return { key };
  return {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  };
}

function textOf(binding: ScramBinding): Buffer {
  return Buffer.from(canonicalJson([LABEL, binding]), "utf8");
}
