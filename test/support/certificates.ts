import "reflect-metadata";
import { webcrypto } from "node:crypto";

import * as x509 from "@peculiar/x509";

const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  publicExponent: new Uint8Array([1, 0, 1]),
} as const;
const DAY_MS = 86_400_000;

export interface CertificateWish {
  readonly name: string;
  /** Who signs it; itself when left out. */
  readonly issuer?: Issued;
  readonly ca?: boolean;
  /** Whether its key may sign certificates; as `ca` when left out. */
  readonly signs?: boolean;
  readonly keys?: "ec" | "rsa" | "rsa1024";
  /** Days from now. */
  readonly from?: number;
  readonly to?: number;
  /** Extended key usages; none said when left out. */
  readonly uses?: readonly ("clientAuth" | "serverAuth")[];
  /** The subject as a whole, in place of the name. */
  readonly subject?: string;
}

/** A certificate and its key. */
export interface Issued {
  readonly certificate: string;
  readonly key: string;
  readonly subject: string;
  readonly keys: webcrypto.CryptoKeyPair;
}

/** Makes a key and a certificate for it, as an authority of an operator would. */
export async function issue(wish: CertificateWish): Promise<Issued> {
  const {
    name,
    issuer,
    ca = false,
    signs = ca,
    keys: kind = "ec",
    from = -1,
    to = 1,
    uses,
    subject = `CN=${name}`,
  } = wish;
  const algorithm = kind === "ec" ? EC : { ...RSA, modulusLength: kind === "rsa" ? 2048 : 1024 };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const signer = issuer?.keys ?? keys;
  const signingAlgorithm = signer.privateKey.algorithm.name === "ECDSA" ? EC : RSA;
  const usage = signs ? x509.KeyUsageFlags.keyCertSign : x509.KeyUsageFlags.digitalSignature;
  const certificate = await x509.X509CertificateGenerator.create(
    {
      subject,
      issuer: issuer?.subject ?? subject,
      notBefore: new Date(Date.now() + from * DAY_MS),
      notAfter: new Date(Date.now() + to * DAY_MS),
      publicKey: keys.publicKey,
      signingKey: signer.privateKey,
      signingAlgorithm,
      extensions: [
        new x509.BasicConstraintsExtension(ca, undefined, true),
        new x509.KeyUsagesExtension(usage, true),
        ...(uses === undefined
          ? []
          : [new x509.ExtendedKeyUsageExtension(uses.map((use) => x509.ExtendedKeyUsage[use]))]),
      ],
    },
    webcrypto,
  );
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    certificate: `${certificate.toString("pem")}\n`,
    key: `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`,
    subject,
    keys,
  };
}
