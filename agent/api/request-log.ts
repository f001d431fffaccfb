import type { FastifyBaseLogger, FastifyContextConfig, FastifyInstance } from "fastify";

import { callerOf, sourceOf } from "#agent/api/callers.ts";
import type { Log } from "#agent/ports/log.ts";

type Level = "trace" | "debug" | "info" | "warn" | "error";

/**
 * The agent's log in the shape Fastify wants. Fastify makes a child for every request; the agent's log makes one only when
 * something is logged through it, and most requests log nothing that way.
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

  trace(first: unknown, text?: unknown): void {
    this.#write("trace", first, text);
  }

  debug(first: unknown, text?: unknown): void {
    this.#write("debug", first, text);
  }

  info(first: unknown, text?: unknown): void {
    this.#write("info", first, text);
  }

  warn(first: unknown, text?: unknown): void {
    this.#write("warn", first, text);
  }

  error(first: unknown, text?: unknown): void {
    this.#write("error", first, text);
  }

  fatal(first: unknown, text?: unknown): void {
    this.#write("error", first, text);
  }

  silent(): void {
    // Fastify's word for a level at which nothing is logged.
  }

  #get(): Log {
    return (this.#log ??= this.#make());
  }

  #write(level: Level, first: unknown, text: unknown): void {
    const fields = typeof first === "object" && first !== null ? first : {};
    const words = typeof text === "string" ? text : typeof first === "string" ? first : "";
    this.#get()[level](fields, words);
  }
}

declare module "fastify" {
  interface FastifyContextConfig {
    /**
     * Requests that are no news whatever comes of them. `probe`: asked every few seconds by a machine, and 503 is an answer like
     * another. `stream`: meant to last, so that its length says nothing.
     */
    routine?: "probe" | "stream";
  }
}

/** From this on a read that went well is worth a line. Milliseconds. */
const SLOW_MS = 1000;

/**
 * One line per answered request. Queries, headers and bodies are left out: they may hold secrets. It goes to the agent's
 * log itself, not to a child of the request: pino's cost of a child is more than that of a line that is not printed.
 */
export function registerRequestLog(app: FastifyInstance, log: Log): void {
  app.addHook("onResponse", (request, reply, done) => {
    const { method } = request;
    const routine = request.waited ? "stream" : request.routeOptions.config.routine;
    const status = reply.statusCode;
    const ms = Math.round(reply.elapsedTime * 1000) / 1000;
    log[requestLevel({ method, status, ms, routine })](
      {
        request: request.id,
        method,
        path: pathOf(request.url),
        status,
        ms,
        from: sourceOf(callerOf(request)),
        user: request.principal?.name,
      },
      "request",
    );
    done();
  });
}

/** Our own failures at warn; what changed, was refused or took long at info; everything else at debug. */
export function requestLevel(answered: {
  readonly method: string;
  readonly status: number;
  readonly ms: number;
  readonly routine: FastifyContextConfig["routine"];
}): "warn" | "info" | "debug" {
  const { method, status, ms, routine } = answered;
  if (routine === "probe") return "debug";
  if (status >= 500) return "warn";
  if (status >= 400 || (method !== "GET" && method !== "HEAD")) return "info";
  return ms > SLOW_MS && routine !== "stream" ? "info" : "debug";
}

/** The path of a request's URL, without its query. */
export function pathOf(url: string): string {
  const end = url.indexOf("?");
  return end < 0 ? url : url.slice(0, end);
}
