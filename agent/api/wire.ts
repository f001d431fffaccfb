import { randomUUID } from "node:crypto";

import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

import type { Gate } from "#agent/api/gate.ts";
import { hangUpSignal } from "#agent/api/hang-up.ts";
import type { History } from "#agent/api/history.ts";
import type { Principal, Target, WriteContext } from "#agent/api/ports.ts";
import { expectationOf, preconditionFailed } from "#agent/api/preconditions.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { BadField } from "#shared/errors/kinds.ts";
import { HTTP_BODY_BYTES_MAX } from "#shared/lib/limits.ts";

/** An error in the words of one dialect. */
export interface WireError {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** How one dialect says an AppError. */
export type ToWire = (error: AppError) => WireError;

/** Paths that belong to a dialect, for errors outside its routes. */
export interface OwnPaths {
  /** Without a trailing slash; each one owns itself and everything below it. */
  readonly paths: readonly string[];
  /** What a caller must pass before a path that does not exist is called so. Default: nothing. */
  readonly unknown?: Gate;
}

declare module "fastify" {
  interface FastifyInstance {
    errorForms?: ErrorForms;
    /** Which history this agent's indexes belong to. */
    history: History;
  }
  interface FastifyRequest {
    /** Who is asking; set by the gate, null where no credentials are needed. */
    principal: Principal | null;
  }
}

/** Which dialect answers for a path that no route answers. The form of `/` is everybody else's. */
export class ErrorForms {
  readonly #forms: { readonly path: string; readonly toWire: ToWire; readonly unknown: Gate | null }[] = [];

  add(toWire: ToWire, { paths, unknown }: OwnPaths): void {
    for (const path of paths) this.#forms.push({ path, toWire, unknown: unknown ?? null });
    this.#forms.sort((a, b) => b.path.length - a.path.length);
  }

  /** The form that owns a path (query already cut off). */
  of(path: string): { readonly toWire: ToWire; readonly unknown: Gate | null } | undefined {
    return this.#forms.find((form) => path === form.path || path.startsWith(`${form.path}/`));
  }
}

/** Visible ASCII, taken as it is: quotes a caller sends belong to the key. */
const KEY = /^[\x21-\x7e]{1,128}$/;

/**
 * The options of a write: who asks, the Idempotency-Key header, what If-Match demands of the target, and a signal that fires
 * when the caller hangs up. The target is what a GET of the same path shows; without one, If-Match is refused.
 * Throws AppError bad_request for a header that breaks its rules, unauthenticated without a principal, precondition_failed.
 */
export function writeContext(request: FastifyRequest, target: Target | null = null): WriteContext {
  const by = request.principal;
  if (by === null) throw new AppError("unauthenticated", {});
  const key = idempotencyKey(request);
  const { history } = request.server;
  const expect = expectationOf(request, history, target);
  // Judged before anything is done, where that is safe; a repeated key is answered as the first time.
  if (expect !== undefined && key === undefined && history.isPast(expect)) throw preconditionFailed(expect);
  return {
    by,
    ...(key === undefined ? {} : { key }),
    ...(expect === undefined ? {} : { expect }),
    signal: hangUpSignal(request),
  };
}

function idempotencyKey({ headers }: FastifyRequest): string | undefined {
  const key = headers["idempotency-key"];
  if (key === undefined || (typeof key === "string" && KEY.test(key))) return key;
  throw new AppError("bad_request", {
    field: "Idempotency-Key",
    rule: "must be 1 to 128 visible ASCII characters",
  });
}

/**
 * Makes everything that goes wrong in the routes of this plugin come out in its dialect's form. Call it once, inside the
 * plugin, before its routes; `own` also claims paths for answers that no route gives (404, 405, unreadable URLs).
 */
export function registerErrorForm(app: FastifyInstance, toWire: ToWire, own?: OwnPaths): void {
  if (own !== undefined) app.errorForms?.add(toWire, own);
  app.setErrorHandler<FastifyError>((error, request, reply) => sendError(request, reply, toWire, error));
}

/** Answers with an error in a dialect's form. What is not an AppError is a defect: logged with its stack under an incident id. */
export function sendError(
  request: FastifyRequest,
  reply: FastifyReply,
  toWire: ToWire,
  error: unknown,
): FastifyReply {
  const known = toAppError(error);
  const incident = randomUUID();
  // Nobody reads the answer to a caller that hung up; what its going away broke off is no defect.
  if (known === null && !request.raw.socket.destroyed)
    request.log.error({ err: error, incident }, "request failed");
  const said = known ?? new AppError("internal_error", { incident });
  const wire = toWire(said);
  return reply
    .code(wire.status)
    .headers({ ...standardHeaders(said, wire.status), ...wire.headers })
    .send(wire.body);
}

/** Seconds a caller is asked to wait when nothing better is known: an election takes about as long. */
const RETRY_AFTER_S = 1;

/** What HTTP itself wants to be said beside the body: RFC 9110, sections 10.2.1 (Allow), 10.2.3, 11.6.1. */
function standardHeaders(error: AppError, status: number): Record<string, string> {
  if (status === 401) return { "www-authenticate": 'Basic realm="muster", charset="UTF-8"' };
  if (isKind(error, "method_not_allowed")) return { allow: error.facts.allowed.join(", ") };
  if (isKind(error, "too_many_attempts")) return { "retry-after": String(error.facts.retry_after_s) };
  if (status === 503) return { "retry-after": String(RETRY_AFTER_S) };
  return {};
}

/** An AppError for every error that is the caller's fault; null for ours. */
function toAppError(error: unknown): AppError | null {
  if (error instanceof AppError) return error;
  if (!(error instanceof Error)) return null;
  const { validation, validationContext, code, statusCode } = error as FastifyError;
  if (validation !== undefined) return new AppError("bad_request", badField(validation, validationContext));
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") {
    return new AppError("too_large", { what: "the body", limit_bytes: HTTP_BODY_BYTES_MAX });
  }
  if (code === "FST_ERR_CTP_INVALID_JSON_BODY" || code === "FST_ERR_CTP_EMPTY_JSON_BODY") {
    return new AppError("bad_request", { field: "body", rule: "must be valid JSON" });
  }
  if (code?.startsWith("FST_ERR_") && statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new AppError("bad_request", { field: "request", rule: error.message });
  }
  return null;
}

/** The first thing a validator found, as a field (`cluster.nodes.0`) and a rule in words. */
function badField(
  validation: NonNullable<FastifyError["validation"]>,
  context: FastifyError["validationContext"],
): BadField {
  // A union fails once per alternative; the one that got furthest is the one that was meant.
  const [first] = validation.toSorted((a, b) => depthOf(b) - depthOf(a));
  if (first === undefined) return { field: context ?? "request", rule: "is not valid" };
  const missing = first.params["missingProperty"] ?? first.params["additionalProperty"];
  const steps = first.instancePath.split("/").slice(1).map(unescapePointer);
  if (typeof missing === "string") steps.push(missing);
  const field = steps.length === 0 ? (context ?? "request") : steps.join(".");
  return { field, rule: ruleOf(first, validation) };
}

/** JSON Pointer, RFC 6901, section 4. */
function unescapePointer(step: string): string {
  return step.replaceAll("~1", "/").replaceAll("~0", "~");
}

type Broken = NonNullable<FastifyError["validation"]>[number];

function depthOf({ instancePath }: Broken): number {
  return instancePath.split("/").length;
}

function ruleOf(first: Broken, all: readonly Broken[]): string {
  if (first.keyword === "required") return "is required";
  if (first.keyword === "additionalProperties") return "is not known here";
  const allowed = first.params["allowedValues"];
  if (Array.isArray(allowed)) return `must be one of ${allowed.join(", ")}`;
  const alike = all.filter((error) => error.instancePath === first.instancePath && error.keyword !== "anyOf");
  return [...new Set(alike.map((error) => error.message ?? "is not valid"))].join(" or ");
}
