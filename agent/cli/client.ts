import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";

import { checked } from "#shared/contract/check.ts";
import { NativeError } from "#shared/contract/native.ts";
import { HTTP_ANSWER_BYTES_MAX } from "#shared/lib/limits.ts";

/** Where an agent's REST API answers: `https://HOST:PORT`, `http://HOST:PORT` or `unix:PATH`. */
export interface Target {
  readonly url: string;
  readonly credentials: Credentials | null;
  /** Accept a certificate that nobody vouches for: what a new agent has. */
  readonly insecure: boolean;
}

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

type Method = "GET" | "POST" | "PATCH" | "DELETE";

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** The parsed body; null when it is empty or no JSON. */
  readonly json: unknown;
}

/** The agent gave no answer, or one that cannot be understood. The message is one sentence for the operator. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
}

/** Leaving may take as long as catching up another voter takes. */
const ANSWER_MS_MAX = 30_000;
/** Longest a file may take to come. Milliseconds. */
const DOWNLOAD_MS_MAX = 600_000;

/** Calls an agent's REST API as any client would. Any status is an answer; rejects with NoAnswer when there is none. */
export async function call(
  target: Target,
  method: Method,
  path: string,
  body?: unknown,
  { timeoutMs = ANSWER_MS_MAX }: { readonly timeoutMs?: number } = {},
): Promise<Answer> {
  try {
    return await read(await request(target, method, path, { body, timeoutMs }));
  } catch (error) {
    throw noAnswer(target, error, timeoutMs);
  }
}

/**
 * Asks for a file, whose bytes `take` gets as they come. Any other status than 200 is an answer, which nobody takes. Rejects with NoAnswer
 * when there is none, or when it breaks off, and with whatever `take` rejects with.
 */
export async function download(
  target: Target,
  path: string,
  take: (bytes: AsyncIterable<Buffer>, headers: IncomingMessage["headers"]) => Promise<void>,
): Promise<Answer> {
  const timeoutMs = DOWNLOAD_MS_MAX;
  let response: IncomingMessage;
  try {
    response = await request(target, "GET", path, { timeoutMs });
    if (response.statusCode !== 200) return await read(response);
  } catch (error) {
    throw noAnswer(target, error, timeoutMs);
  }
  await take(
    piecesOf(response, (error) => noAnswer(target, error, timeoutMs)),
    response.headers,
  );
  return { status: 200, text: "", json: null };
}

async function* piecesOf(
  response: IncomingMessage,
  explain: (error: unknown) => Error,
): AsyncGenerator<Buffer> {
  try {
    yield* response as AsyncIterable<Buffer>;
  } catch (error) {
    throw explain(error);
  }
}

/** Resolves when the answer begins. */
function request(
  { url, credentials, insecure }: Target,
  method: Method,
  path: string,
  { body, timeoutMs }: { readonly body?: unknown; readonly timeoutMs: number },
): Promise<IncomingMessage> {
  const payload = body === undefined ? null : Buffer.from(JSON.stringify(body));
  const unixPath = url.startsWith("unix:") ? url.slice("unix:".length) : null;
  if (unixPath === null && !isWebAddress(url)) {
    throw new NoAnswer(`${url} is none of https://HOST:PORT, http://HOST:PORT and unix:PATH`);
  }
  const options: RequestOptions = {
    method,
    agent: false,
    headers: {
      accept: "application/json",
      ...(payload === null ? {} : { "content-type": "application/json", "content-length": payload.length }),
      ...(credentials === null ? {} : { authorization: basic(credentials) }),
    },
    signal: AbortSignal.timeout(timeoutMs),
  };
  return new Promise((resolve, reject) => {
    const sent =
      unixPath !== null
        ? httpRequest({ ...options, socketPath: unixPath, path, host: "localhost" }, resolve)
        : url.startsWith("https:")
          ? httpsRequest(new URL(path, url), { ...options, rejectUnauthorized: !insecure }, resolve)
          : httpRequest(new URL(path, url), options, resolve);
    sent.once("error", reject);
    sent.end(payload ?? undefined);
  });
}

/** Calls, and demands a 2xx with a body that `read` can read. Rejects with NoAnswer that repeats what the agent said. */
export async function demand<T>(
  target: Target,
  method: Method,
  path: string,
  read: (body: unknown) => T | null,
  body?: unknown,
): Promise<T> {
  const found = read(await succeed(target, method, path, body));
  if (found === null) throw new NoAnswer(`${target.url}${path} answered in an unknown form`);
  return found;
}

/** Calls, and demands a 2xx; its body, null when there is none. Rejects with NoAnswer that repeats what the agent said. */
export async function succeed(
  target: Target,
  method: Method,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const answer = await call(target, method, path, body);
  if (answer.status >= 200 && answer.status < 300) return answer.json;
  throw refusedBy(target, method, path, answer);
}

/** What an answer that is no success says, in one sentence. */
export function refusedBy(
  { url, credentials }: Target,
  method: Method,
  path: string,
  { status, json, text }: Answer,
): NoAnswer {
  if (status === 401) {
    return new NoAnswer(
      credentials === null
        ? `${url} wants credentials: give --user and --password-file`
        : `${url} does not accept these credentials`,
    );
  }
  const said = checked(NativeError, json)?.error.message;
  return new NoAnswer(said ?? `${url} answered ${status} to ${method} ${path}: ${text.slice(0, 500)}`);
}

function isWebAddress(url: string): boolean {
  return URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);
}

async function read(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > HTTP_ANSWER_BYTES_MAX) throw new Error("the answer is too large");
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  return { status: response.statusCode ?? 0, text, json: parse(text) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function basic({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function noAnswer({ url }: Target, error: unknown, timeoutMs: number): NoAnswer {
  return error instanceof NoAnswer
    ? error
    : new NoAnswer(`${url} gives no answer: ${reason(error, timeoutMs)}`);
}

function reason(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return String(error);
  switch ("code" in error ? error.code : "") {
    case "ECONNREFUSED":
    case "ENOENT":
      return "nobody listens there";
    case "EACCES":
      return "permission denied";
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
      return "its certificate is self-signed (--insecure accepts it)";
    default:
      return error.name === "TimeoutError" || error.name === "AbortError"
        ? `not within ${timeoutMs} ms`
        : error.message;
  }
}
