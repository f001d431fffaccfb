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

/** Calls an agent's REST API as any client would. Any status is an answer; rejects with NoAnswer when there is none. */
export function call(target: Target, method: Method, path: string, body?: unknown): Promise<Answer> {
  const payload = body === undefined ? null : Buffer.from(JSON.stringify(body));
  const unixPath = target.url.startsWith("unix:") ? target.url.slice("unix:".length) : null;
  if (unixPath === null && !isWebAddress(target.url)) {
    return Promise.reject(
      new NoAnswer(`${target.url} is none of https://HOST:PORT, http://HOST:PORT and unix:PATH`),
    );
  }
  const options: RequestOptions = {
    method,
    agent: false,
    headers: {
      accept: "application/json",
      ...(payload === null ? {} : { "content-type": "application/json", "content-length": payload.length }),
      ...(target.credentials === null ? {} : { authorization: basic(target.credentials) }),
    },
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
  };
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(new NoAnswer(`${target.url} gives no answer: ${reason(error)}`));
    const answered = (response: IncomingMessage): void => void read(response).then(resolve, fail);
    const request =
      unixPath !== null
        ? httpRequest({ ...options, socketPath: unixPath, path, host: "localhost" }, answered)
        : target.url.startsWith("https:")
          ? httpsRequest(
              new URL(path, target.url),
              { ...options, rejectUnauthorized: !target.insecure },
              answered,
            )
          : httpRequest(new URL(path, target.url), options, answered);
    request.once("error", fail);
    request.end(payload ?? undefined);
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
  const { status, json, text } = await call(target, method, path, body);
  if (status >= 200 && status < 300) return json;
  if (status === 401) {
    throw new NoAnswer(
      target.credentials === null
        ? `${target.url} wants credentials: give --user and --password-file`
        : `${target.url} does not accept these credentials`,
    );
  }
  const said = checked(NativeError, json)?.error.message;
  throw new NoAnswer(said ?? `${target.url} answered ${status} to ${method} ${path}: ${text.slice(0, 500)}`);
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

function reason(error: Error & { code?: string }): string {
  switch (error.code ?? "") {
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
        ? `not within ${ANSWER_MS_MAX} ms`
        : error.message;
  }
}
