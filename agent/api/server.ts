import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

import Fastify, { type FastifyInstance, type FastifyRequest, LogController } from "fastify";

import { Verifier } from "#agent/api/auth/verifier.ts";
import { registerBootstrapWaits } from "#agent/api/bootstrap-waits.ts";
import { orchestratorDialect } from "#agent/api/dialects/orchestrator/index.ts";
import { redisDialect } from "#agent/api/dialects/redis/index.ts";
import type { Network } from "#agent/api/callers.ts";
import { GateKeeper } from "#agent/api/gate.ts";
import { registerHangUps } from "#agent/api/hang-up.ts";
import { History } from "#agent/api/history.ts";
import { registerMeasure } from "#agent/api/measure.ts";
import { toNativeError } from "#agent/api/native/errors.ts";
import { nativeApi, type NativeDeps } from "#agent/api/native/index.ts";
import { registerReads } from "#agent/api/reads.ts";
import { pathOf, registerRequestLog, RequestLog } from "#agent/api/request-log.ts";
import { collectRoutes, type RouteTable } from "#agent/api/routes.ts";
import { registerJsonBodies, registerValidation } from "#agent/api/validation.ts";
import { ErrorForms, sendError, type ToWire } from "#agent/api/wire.ts";
import type { Passwords } from "#agent/ports/credentials.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { HTTP_BODY_BYTES_MAX, HTTP_URL_BYTES_MAX } from "#shared/lib/limits.ts";

export interface ServerDeps extends NativeDeps {
  readonly passwords: Passwords;
}

export interface ServerOptions {
  /** Networks, beside this host itself, that may bootstrap this agent before it is in a cluster. */
  readonly bootstrapAllowFrom: readonly Network[];
  /** Whether callers on this host see the bare state of its bootstrap without a login, also once it is in a cluster. Default: no. */
  readonly bootstrapOpenStatus?: boolean;
}

/** Longest value of one step of a path. */
const PARAM_CHARS_MAX = 1024;

/**
 * The REST API of one agent: every dialect and the native API behind one gate. It listens nowhere by itself; see
 * listeners.ts. A route without a gate makes `ready()` reject.
 */
export function createServer(deps: ServerDeps, options: ServerOptions): FastifyInstance {
  const { queries, registry, clock, passwords } = deps;
  const forms = new ErrorForms();
  const formOf = (request: FastifyRequest): ToWire => forms.of(pathOf(request.url))?.toWire ?? toNativeError;
  const app = Fastify({
    loggerInstance: new RequestLog(() => deps.log),
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: "request" }),
    genReqId: requestId,
    bodyLimit: HTTP_BODY_BYTES_MAX,
    return503OnClosing: false,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: PARAM_CHARS_MAX },
    // URLs that cannot be read reach no route and no hook.
    frameworkErrors: (error, request, reply) => void sendError(request, reply, formOf(request), error),
  }) as unknown as FastifyInstance; // The exact type of the logger is nobody's business.
  app.decorate("errorForms", forms);
  app.decorate("history", new History(deps));
  app.decorateRequest("principal", null);

  const verifier = new Verifier({ clock, passwords, users: () => registry.state.users });
  const keeper = new GateKeeper({ queries, verifier }, options);
  const routes = collectRoutes(app);

  registerHangUps(app);
  registerValidation(app);
  registerJsonBodies(app);
  registerHeaders(app);
  registerGate(app, keeper);
  registerBootstrapWaits(app, { queries, clock });
  registerReads(app, { registry, queries, clock });
  registerRequestLog(app, deps.log);
  registerMeasure(app, deps.metrics);

  app.setErrorHandler((error, request, reply) => sendError(request, reply, formOf(request), error));
  app.setNotFoundHandler(async (request, reply) => {
    const error = await missing(request, forms, routes, keeper);
    return sendError(request, reply, formOf(request), error);
  });

  void app.register(redisDialect, deps);
  void app.register(orchestratorDialect, deps);
  void app.register(nativeApi, deps);
  return app;
}

/** What a request for something that is not there is told: 405, the refusal of its dialect's gate, or 404. */
async function missing(
  request: FastifyRequest,
  forms: ErrorForms,
  routes: RouteTable,
  keeper: GateKeeper,
): Promise<unknown> {
  const path = pathOf(request.url);
  const allowed = routes.methodsOf(path);
  if (allowed.length > 0) return new AppError("method_not_allowed", { allowed });
  const gate = forms.of(path)?.unknown ?? null;
  try {
    if (gate !== null) await keeper.admit(request, gate);
  } catch (error) {
    return error;
  }
  return new AppError("not_found", { what: path });
}

function registerGate(app: FastifyInstance, keeper: GateKeeper): void {
  app.addHook("onRequest", (request, _reply, done) => {
    if (request.url.length > HTTP_URL_BYTES_MAX) {
      return done(new AppError("too_large", { what: "the URL", limit_bytes: HTTP_URL_BYTES_MAX }));
    }
    const { gate } = request.routeOptions.config;
    if (gate === undefined) return done(); // No route: the not-found handler sees to it.
    const admitted = keeper.admit(request, gate);
    if (admitted === undefined) return done();
    return admitted;
  });
}

/** Nothing here is a page: answers are never stored, framed, sniffed or run. */
const SECURITY_HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
} as const;

function registerHeaders(app: FastifyInstance): void {
  app.addHook("onRequest", (request, reply, done) => {
    reply.headers(SECURITY_HEADERS);
    reply.header("x-request-id", request.id);
    done();
  });
}

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;

/** The caller's own X-Request-Id where it can stand in a header and a log line, else a new one. */
function requestId(request: Pick<IncomingMessage, "headers">): string {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && REQUEST_ID.test(given) ? given : randomUUID();
}
