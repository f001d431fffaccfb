import { open } from "node:fs/promises";
import { text } from "node:stream/consumers";

import { type Command, InvalidArgumentError, Option } from "commander";

import { NoAnswer, type Target } from "./client.ts";

const DEFAULT_SOCKET = "unix:/run/muster/muster.sock";
/** A password or a token; a larger file is some other one. */
const SECRET_BYTES_MAX = 64 * 1024;

/** What the flags of every command that asks an agent say. */
export interface Connection {
  readonly url: string;
  readonly user?: string;
  readonly passwordFile?: string;
  readonly insecure?: true;
  readonly json?: true;
}

/** Adds those flags. */
export function connecting(command: Command): Command {
  return command
    .addOption(
      new Option("--url <url>", "the agent to ask: https://…, http://… or unix:PATH").default(DEFAULT_SOCKET),
    )
    .option("--user <name>", "user name")
    .option("--password-file <file>", "file with the user's password; - reads it from the input")
    .option("--insecure", "accept a self-signed certificate")
    .option("--json", "print JSON");
}

/** Whom to ask, and as whom. Rejects with NoAnswer. */
export async function targetOf({ url, user, passwordFile, insecure }: Connection): Promise<Target> {
  return { url, credentials: await loginOf(user, passwordFile), insecure: insecure === true };
}

async function loginOf(username?: string, passwordFile?: string): Promise<Target["credentials"]> {
  if (username === undefined && passwordFile === undefined) return null;
  if (username === undefined || passwordFile === undefined) {
    throw new NoAnswer("--user and --password-file go together");
  }
  return { username, password: await readSecret(passwordFile) };
}

/** The one secret in a file, or in the input for `-`; never in a flag, where every user of the host could read it. Rejects with NoAnswer. */
export async function readSecret(file: string): Promise<string> {
  const found = file === "-" ? await text(process.stdin) : await readSmall(file);
  const secret = found.replace(/\r?\n$/, "");
  if (secret === "") throw new NoAnswer(`${file === "-" ? "the input" : file} is empty`);
  return secret;
}

async function readSmall(file: string): Promise<string> {
  try {
    await using opened = await open(file);
    const { buffer, bytesRead } = await opened.read(Buffer.alloc(SECRET_BYTES_MAX));
    return buffer.toString("utf8", 0, bytesRead);
  } catch {
    throw new NoAnswer(`${file} cannot be read`);
  }
}

/** The value as JSON where that was asked for, else as people read it. */
export function print({ json }: Pick<Connection, "json">, value: unknown, readable: () => string): void {
  process.stdout.write(`${json === true ? JSON.stringify(value, null, 2) : readable()}\n`);
}

/** Parses an option that is a whole number within these bounds. */
export function wholeNumber(low: number, high: number): (text: string) => number {
  return (given) => {
    const value = Number(given);
    if (Number.isInteger(value) && value >= low && value <= high) return value;
    throw new InvalidArgumentError(`a whole number from ${low} to ${high}.`);
  };
}
