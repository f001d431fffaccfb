import type { CertificateSubject } from "./x509.ts";

// What the agent asks of the process that makes its certificate.

export function toWire(subject: CertificateSubject): string {
  return JSON.stringify(subject);
}

export function fromWire(text: string): CertificateSubject {
  const subject = JSON.parse(text) as Omit<CertificateSubject, "notBefore" | "notAfter"> & {
    readonly notBefore: string;
    readonly notAfter: string;
  };
  return {
    ...subject,
    notBefore: new Date(subject.notBefore),
    notAfter: new Date(subject.notAfter),
  };
}
