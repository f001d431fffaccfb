import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

import { KEY_BYTES } from "./kdf.ts";

// The keys of SCRAM (RFC 5802, section 3), made of the salted password.

export function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

/** What only somebody with the password can make. */
export function clientKeyOf(salted: Uint8Array): Buffer {
  return hmac(salted, "Client Key");
}

/** What the server keeps to check a client; the client key does not follow from it. */
export function storedKeyOf(clientKey: Uint8Array): Buffer {
  return createHash("sha256").update(clientKey).digest();
}

/** What the server proves itself with. */
export function serverKeyOf(salted: Uint8Array): Buffer {
  return hmac(salted, "Server Key");
}

/** Constant-time for texts of the right length; the length of a key is no secret. */
export function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === KEY_BYTES && b.length === KEY_BYTES && timingSafeEqual(a, b);
}

export function fromBase64(text: string): Buffer {
  return Buffer.from(text, "base64");
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/** Byte by byte; of the length of `b`. */
export function xor(a: Uint8Array, b: Uint8Array): Buffer {
  return Buffer.from(b.map((byte, i) => byte ^ (a[i] ?? 0)));
}

const NONCE_BYTES = 24;

/** 192 random bits, base64. */
export function newNonce(): string {
  return toBase64(randomBytes(NONCE_BYTES));
}
