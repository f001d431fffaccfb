import { execFile } from "node:child_process";

/** What a shell script sees of one `curl`. */
export interface Curl {
  /** Exit code: 0 for any answer, unless `-f` makes 22 of a status from 400 on; 7 when nobody listens. */
  readonly code: number;
  /** Standard output: the body, or what `-w` makes of it. */
  readonly out: string;
}

/** Runs the real curl, quietly, without checking certificates: each of the scripts does. Never rejects. */
export function curl(...args: string[]): Promise<Curl> {
  return new Promise((resolve) => {
    execFile("curl", ["-s", "-k", "--max-time", "20", ...args], (error, out) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out });
    });
  });
}

/** `curl -o /dev/null -w '%{http_code}'`: only the status counts; `000` when there is no answer. */
export async function httpCode(...args: string[]): Promise<string> {
  return (await curl("-o", "/dev/null", "-w", "%{http_code}", ...args)).out;
}

/** `jq -r .a.b`: what stands there as text, `null` when nothing does; nothing at all for an empty input or what is no JSON. */
export function jq(text: string, path: string): string {
  if (text.trim() === "") return "";
  let at: unknown;
  try {
    at = JSON.parse(text) as unknown;
  } catch {
    return "";
  }
  for (const key of path.split(".")) at = (at as Record<string, unknown> | null | undefined)?.[key];
  if (typeof at === "string") return at;
  return at === undefined ? "null" : JSON.stringify(at);
}

/**
 * A script's loop: looks, sleeps, looks again. The scripts sleep for seconds and give up after so many tries; here the pauses are
 * short, and only a minute without the answer counts as given up.
 */
export async function poll<T>(what: string, look: () => Promise<T | undefined>, everyMs = 150): Promise<T> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  throw new Error(`gave up waiting: ${what}`);
}
