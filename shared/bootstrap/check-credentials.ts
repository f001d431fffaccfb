import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapAction } from "#shared/bootstrap/machine.ts";
import type { Rule } from "#shared/bootstrap/rule.ts";
import {
  CERTIFICATE_CHARS_MAX,
  PASSWORD_CHARS_MAX,
  TOKEN_CHARS_MAX,
  USER_NAME_CHARS_MAX,
} from "#shared/lib/limits.ts";

/** Basic authentication cannot carry a colon or a control character in a name (RFC 7617, section 2). */
const NOT_IN_USER_NAMES = /[&<>":\p{Cc}]/u;
const USERNAME_RULE = `must have 1 to ${USER_NAME_CHARS_MAX} characters and none of & < > " : or control characters`;
const PASSWORD_RULE = `must have 1 to ${PASSWORD_CHARS_MAX} characters and no control characters`;
/** RFC 7468, whatever stands around it; whoever uses them looks into them. */
const CERTIFICATE = /-----BEGIN CERTIFICATE-----\s[^]+\s-----END CERTIFICATE-----/;
const PRIVATE_KEY = /-----BEGIN ([A-Z]+ )?PRIVATE KEY-----\s[^]+\s-----END ([A-Z]+ )?PRIVATE KEY-----/;

/**
 * How the caller proves itself: a join takes an administrator's password, a token, or a client certificate, and never two of them. A
 * new cluster gets the administrator that is named; a recovery asks other agents for their copies as the administrator of old, and
 * needs nobody's word for a copy that lies here.
 */
export function rulesOfCredentials(action: BootstrapAction, request: BootstrapRequest): Rule[] {
  const { credentials, nodes } = request;
  const { username, password, token, clientCert, clientKey, trustedCa } = credentials;
  const byPassword = isGiven(username) || isGiven(password);
  const byToken = isGiven(token);
  const byCertificate = isGiven(clientCert) || isGiven(clientKey);
  const joins = action === "join_cluster";
  const needed =
    byPassword ||
    action === "create_cluster" ||
    (joins && !byToken && !byCertificate) ||
    (action === "recover_cluster" && nodes.length > 0);
  return [
    [
      !joins && byToken,
      "credentials.token",
      "is for join_cluster alone; give credentials.username and password",
    ],
    [
      !joins && byCertificate,
      isGiven(clientCert) ? "credentials.client_cert" : "credentials.client_key",
      "is for join_cluster alone; give credentials.username and password",
    ],
    [byToken && byPassword, "credentials.token", "must stand alone, without username and password"],
    [byToken && byCertificate, "credentials.token", "must stand alone, without a client certificate"],
    [
      byCertificate && byPassword,
      isGiven(clientCert) ? "credentials.client_cert" : "credentials.client_key",
      "must stand alone, without username and password",
    ],
    [needed && userNameRule(username) !== null, "credentials.username", USERNAME_RULE],
    [needed && passwordRule(password) !== null, "credentials.password", PASSWORD_RULE],
    [
      byToken && (token ?? "").length > TOKEN_CHARS_MAX,
      "credentials.token",
      `must have at most ${TOKEN_CHARS_MAX} characters`,
    ],
    ...rulesOfCertificates({ byCertificate, clientCert, clientKey, trustedCa }),
  ];
}

function rulesOfCertificates({
  byCertificate,
  clientCert = "",
  clientKey = "",
  trustedCa = "",
}: {
  readonly byCertificate: boolean;
  readonly clientCert: string | undefined;
  readonly clientKey: string | undefined;
  readonly trustedCa: string | undefined;
}): Rule[] {
  const rule = (what: string): string =>
    `must be ${what} in PEM, of at most ${CERTIFICATE_CHARS_MAX} characters`;
  return [
    [byCertificate && !isPem(clientCert, CERTIFICATE), "credentials.client_cert", rule("a certificate")],
    [byCertificate && !isPem(clientKey, PRIVATE_KEY), "credentials.client_key", rule("its private key")],
    [
      trustedCa !== "" && !isPem(trustedCa, CERTIFICATE),
      "credentials.trusted_ca",
      rule("an authority's certificate"),
    ],
  ];
}

function isGiven(text: string | undefined): boolean {
  return text !== undefined && text !== "";
}

/** What is wrong with the name of a user; null when nothing is. */
export function userNameRule(name: string): string | null {
  const fits = name.length > 0 && name.length <= USER_NAME_CHARS_MAX && !NOT_IN_USER_NAMES.test(name);
  return fits ? null : USERNAME_RULE;
}

/** What is wrong with a password; null when nothing is. */
export function passwordRule(password: string): string | null {
  const fits = password.length > 0 && password.length <= PASSWORD_CHARS_MAX && !/\p{Cc}/u.test(password);
  return fits ? null : PASSWORD_RULE;
}

function isPem(text: string, form: RegExp): boolean {
  return text.length <= CERTIFICATE_CHARS_MAX && form.test(text);
}
