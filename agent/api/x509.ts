// The first module is what the second one builds on.
import "reflect-metadata";
import { webcrypto } from "node:crypto";

import * as x509 from "@peculiar/x509";

/** Who a certificate is for, and for how long. */
export interface CertificateSubject {
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  /** IP addresses as text. */
  readonly addresses: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A new key and a certificate for it, signed by itself (RFC 5280). Both in PEM. */
export async function makeSelfSigned(
  subject: CertificateSubject,
): Promise<{ readonly certificate: string; readonly key: string }> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: [{ CN: [subject.commonName] }],
      notBefore: subject.notBefore,
      notAfter: subject.notAfter,
      keys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension([
          ...subject.dnsNames.map((value) => ({ type: "dns" as const, value })),
          ...subject.addresses.map((value) => ({ type: "ip" as const, value })),
        ]),
      ],
    },
    webcrypto,
  );
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    certificate: `${certificate.toString("pem")}\n`,
    key: `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`,
  };
}
