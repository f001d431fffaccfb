/** Names of fields whose value never reaches the log, at whatever depth. Compared in lower case, `-` and `_` left out. */
const SECRET_NAMES: ReadonlySet<string> = new Set(
  [
    "authorization",
    "cookie",
    "set-cookie",
    "credentials",
    "password",
    "passphrase",
    "secret",
    "token",
    "api-key",
    "private-key",
    "verifier",
    "salt",
    "stored-key",
    "server-key",
    "client-proof",
    "client-key",
    "proof",
    "server-signature",
  ].map(plain),
);

const MASK = "[secret]";
/** Join tokens know themselves: they are found wherever they stand. */
const JOIN_TOKEN = /\bmuster1\.[A-Za-z0-9_-]{16,}/g;
const TOKEN_BEGIN = "muster1.";
/** Deeper fields are not for a log line; they are left out, so that nothing unchecked gets through. */
const DEPTH_MAX = 6;

/** The fields with every secret replaced. A field is known by its name, so a secret never travels under another one. */
export function maskSecrets(fields: object): Record<string, unknown> {
  return masked(fields, 0) as Record<string, unknown>;
}

function masked(value: unknown, depth: number): unknown {
  if (typeof value === "string") {
    return value.includes(TOKEN_BEGIN) ? value.replaceAll(JOIN_TOKEN, MASK) : value;
  }
  if (Array.isArray(value)) {
    return depth >= DEPTH_MAX ? "[deep]" : value.map((item) => masked(item, depth + 1));
  }
  if (!isPlain(value)) return value; // An Error, a buffer, a class of a library: pino's serializers know what to do.
  if (depth >= DEPTH_MAX) return "[deep]";
  const out: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(value)) {
    out[name] = isSecret(name) ? MASK : masked(inner, depth + 1);
  }
  return out;
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Names that were looked at before. The agent's own are few; what others make up is not remembered beyond a bound. */
const judged = new Map<string, boolean>();
const JUDGED_MAX = 1000;

function isSecret(name: string): boolean {
  const known = judged.get(name);
  if (known !== undefined) return known;
  const secret = SECRET_NAMES.has(plain(name));
  if (judged.size < JUDGED_MAX) judged.set(name, secret);
  return secret;
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, "");
}
