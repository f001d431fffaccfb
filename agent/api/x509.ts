import { createPublicKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";

import ipaddr from "ipaddr.js";

/** What a self-signed server certificate says. Times in milliseconds since the epoch. */
export interface CertificateContents {
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  readonly addresses: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/**
 * Makes a key (ECDSA P-256) and a certificate signed by it: X.509 v3 as in RFC 5280, for TLS servers, no CA. Written out
 * here because node:crypto reads certificates and makes none. PEM texts.
 */
export function makeSelfSigned(contents: CertificateContents): {
  readonly certificate: string;
  readonly key: string;
} {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const algorithm = sequence(oid("1.2.840.10045.4.3.2")); // ecdsa-with-SHA256, RFC 5758 section 3.2.
  const name = distinguishedName(contents.commonName);
  const toBeSigned = sequence(
    tlv(0xa0, integer(Buffer.from([2]))), // v3
    integer(serialNumber()),
    algorithm,
    name,
    sequence(time(contents.notBeforeMs), time(contents.notAfterMs)),
    name,
    spki,
    tlv(0xa3, sequence(...extensions(contents))),
  );
  const signature = sign("sha256", toBeSigned, privateKey);
  const der = sequence(toBeSigned, algorithm, bitString(signature, 0));
  return {
    certificate: pem("CERTIFICATE", der),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/** RFC 5280, sections 4.2.1.9, 4.2.1.3, 4.2.1.12 and 4.2.1.6. */
function extensions({ dnsNames, addresses }: CertificateContents): readonly Buffer[] {
  const names = [
    ...dnsNames.map((dnsName) => tlv(0x82, Buffer.from(dnsName, "ascii"))),
    ...addresses.map((address) => tlv(0x87, Buffer.from(ipaddr.parse(address).toByteArray()))),
  ];
  return [
    extension("2.5.29.19", true, sequence()), // basicConstraints: no CA
    extension("2.5.29.15", true, bitString(Buffer.from([0x80]), 7)), // keyUsage: digitalSignature
    extension("2.5.29.37", false, sequence(oid("1.3.6.1.5.5.7.3.1"))), // extendedKeyUsage: serverAuth
    extension("2.5.29.17", false, sequence(...names)), // subjectAltName
  ];
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  const flag = critical ? [tlv(0x01, Buffer.from([0xff]))] : [];
  return sequence(oid(id), ...flag, tlv(0x04, value));
}

/** A name of one common name, cut to the 64 characters it may have (RFC 5280, appendix A, ub-common-name). */
function distinguishedName(commonName: string): Buffer {
  const text = Buffer.from(commonName.slice(0, 64), "utf8");
  return sequence(tlv(0x31, sequence(oid("2.5.4.3"), tlv(0x0c, text))));
}

/** 16 random bytes, positive and without a leading zero (RFC 5280, section 4.1.2.2). */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

/** UTCTime before 2050, GeneralizedTime from then on (RFC 5280, section 4.1.2.5). */
function time(ms: number): Buffer {
  const text = `${new Date(ms).toISOString().slice(0, 19).replaceAll(/[-T:]/g, "")}Z`;
  return text < "2050" ? tlv(0x17, Buffer.from(text.slice(2))) : tlv(0x18, Buffer.from(text));
}

// DER, ITU-T X.690: a tag, a length, the contents.

function tlv(tag: number, ...contents: readonly Buffer[]): Buffer {
  const body = Buffer.concat(contents);
  if (body.length < 0x80) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const digits = body.length.toString(16);
  const length = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, body]);
}

function sequence(...items: readonly Buffer[]): Buffer {
  return tlv(0x30, ...items);
}

/** A positive integer whose first byte is below 0x80. */
function integer(bytes: Buffer): Buffer {
  return tlv(0x02, bytes);
}

function bitString(bytes: Buffer, unusedBits: number): Buffer {
  return tlv(0x03, Buffer.from([unusedBits]), bytes);
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return tlv(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

/** Seven bits a byte, most significant first, the high bit set on all but the last. */
function base128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes.unshift((rest & 0x7f) | 0x80);
  return bytes;
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}
