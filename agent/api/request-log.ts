import type { FastifyBaseLogger, FastifyInstance } from "fastify";

import { callerOf, sourceOf } from "#agent/api/callers.ts";
import type { Log } from "#agent/ports/log.ts";

/**
 * The agent's log in the shape Fastify wants. A child is made of its fields only when something is logged through it:
 * most requests log nothing.
 */
export class RequestLog implements FastifyBaseLogger {
  readonly level = "info";
  readonly #make: () => Log;
  #log: Log | null = null;

  constructor(make: () => Log) {
    this.#make = make;
  }

  child(fields: Record<string, unknown>): RequestLog {
    return new RequestLog(() => this.#get().child(fields));
  }

  readonly trace = this.#level("trace");
  readonly debug = this.#level("debug");
  readonly info = this.#level("info");
  readonly warn = this.#level("warn");
  readonly error = this.#level("error");
  readonly fatal = this.#level("error");
  readonly silent = (): void => undefined;

  #get(): Log {
    return (this.#log ??= this.#make());
  }

  #level(level: "trace" | "debug" | "info" | "warn" | "error"): (first: unknown, text?: unknown) => void {
    return (first, text) => {
      const fields = typeof first === "object" && first !== null ? first : {};
      const words = typeof text === "string" ? text : typeof first === "string" ? first : "";
      this.#get()[level](fields, words);
    };
  }
}

/**
 * One line per answered request: reads that went well at debug, what changed or was refused at info, our own failures at
 * error. Queries, headers and bodies are left out: they may hold secrets.
 */
export function registerRequestLog(app: FastifyInstance): void {
  app.addHook("onResponse", (request, reply, done) => {
    const fields = {
      method: request.method,
      path: pathOf(request.url),
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime * 1000) / 1000,
      from: sourceOf(callerOf(request)),
      user: request.principal?.name,
    };
    const level =
      reply.statusCode >= 500 ? "warn" : isQuiet(request.method, reply.statusCode) ? "debug" : "info";
    request.log[level](fields, "request");
    done();
  });
}

/** The path of a request's URL, without its query. */
export function pathOf(url: string): string {
  const end = url.indexOf("?");
  return end < 0 ? url : url.slice(0, end);
}

function isQuiet(method: string, status: number): boolean {
  return status < 400 && (method === "GET" || method === "HEAD");
}
