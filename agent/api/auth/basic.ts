import type { Credentials } from "#agent/ports/credentials.ts";
import { PASSWORD_CHARS_MAX, USER_NAME_CHARS_MAX } from "#shared/lib/limits.ts";

const BASIC = /^basic +([a-z0-9+/_-]+={0,2}) *$/i;

/**
 * Reads an Authorization header of the scheme Basic (RFC 7617, UTF-8). Null for anything else, and for names or
 * passwords longer than any user can have.
 */
export function parseBasic(header: string): Credentials | null {
  const encoded = BASIC.exec(header)?.[1];
  if (encoded === undefined) return null;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 1) return null;
  const credentials = { username: text.slice(0, colon), password: text.slice(colon + 1) };
  if (credentials.username.length > USER_NAME_CHARS_MAX) return null;
  if (credentials.password.length > PASSWORD_CHARS_MAX) return null;
  return credentials;
}
