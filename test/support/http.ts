import { request as httpRequest, Agent as HttpAgent, type IncomingHttpHeaders } from "node:http";
import { request as httpsRequest, Agent as HttpsAgent } from "node:https";

/** One answer of an agent's REST API. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The parsed body; undefined when it is empty or no JSON. */
  // oxlint-disable-next-line typescript/no-explicit-any -- tests read the wire form freely
  readonly json: any;
}

export interface Call {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** `user:password`. */
  readonly auth?: string;
  readonly timeoutMs?: number;
  /** Connects to this unix socket instead of the URL's host. */
  readonly socketPath?: string;
}

// Certificates are self-signed, as on a new host; every public script of this API uses `curl -k`.
const secure = new HttpsAgent({ keepAlive: true, rejectUnauthorized: false, maxSockets: 256 });
const plain = new HttpAgent({ keepAlive: true, maxSockets: 256 });

/** Calls a REST API. Rejects when there is no answer (refused, reset, timed out); any status is an answer. */
export function call(url: string, options: Call = {}): Promise<Answer> {
  const target = new URL(url);
  const payload = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
  const headers: Record<string, string> = { ...options.headers };
  if (payload !== undefined) {
    headers["content-type"] ??= "application/json";
    headers["content-length"] = String(payload.length);
  }
  if (options.auth !== undefined) headers["authorization"] = basic(options.auth);
  const send = target.protocol === "https:" ? httpsRequest : httpRequest;
  const agent = target.protocol === "https:" ? secure : plain;
  const { method = "GET", socketPath } = options;
  return new Promise((resolve, reject) => {
    const request = send(target, { method, headers, agent, socketPath }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: parse(text) });
      });
    });
    request.setTimeout(options.timeoutMs ?? 20_000, () =>
      request.destroy(new Error(`no answer from ${url}`)),
    );
    request.on("error", reject);
    request.end(payload);
  });
}

/** Basic authentication, RFC 7617. */
export function basic(userAndPassword: string): string {
  return `Basic ${Buffer.from(userAndPassword).toString("base64")}`;
}

function parse(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
