import { isUtf8 } from "node:buffer";

import { Ajv } from "ajv";
import type { FastifyInstance } from "fastify";

import { AppError } from "#shared/errors/app-error.ts";
import { nestsDeeperThan } from "#shared/lib/depth.ts";
import { JSON_DEPTH_MAX } from "#shared/lib/limits.ts";

const COMMON = {
  removeAdditional: false,
  useDefaults: true,
  allErrors: false,
  // Both checks are about the style of schemas; TypeBox's are correct and fail them.
  strictTypes: false,
  strictTuples: false,
  // Checking our own schemas against the schema of schemas takes longer than all else in building the server.
  validateSchema: false,
  meta: false,
} as const;

/**
 * Validation by TypeBox schemas, which are JSON Schema. Texts become numbers and booleans in parameters, queries and
 * headers only, where everything is text; in a body a wrong type is the caller's error.
 */
export function registerValidation(app: FastifyInstance): void {
  const strict = new Ajv({ ...COMMON, coerceTypes: false });
  const coercing = new Ajv({ ...COMMON, coerceTypes: "array" });
  app.setValidatorCompiler(({ schema, httpPart }) =>
    (httpPart === "body" ? strict : coercing).compile(schema as object),
  );
}

/** Reads every body as JSON, whatever its Content-Type says: scripts call with `curl -d`, which says it is a form. */
export function registerJsonBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (request, body, done) => {
    if (typeof body !== "string" && !isUtf8(body)) {
      return done(
        new AppError("bad_request", { field: "body", rule: "must be UTF-8 (RFC 8259, section 8.1)" }),
      );
    }
    const text = body.toString();
    // A DELETE with a Content-Type and nothing in it is no mistake worth refusing.
    if (text.trim() === "") return done(null, undefined);
    void parse(request, text, (error, value) => {
      if (error === null && nestsDeeperThan(value, JSON_DEPTH_MAX)) {
        const rule = `must not nest deeper than ${JSON_DEPTH_MAX} levels`;
        return done(new AppError("bad_request", { field: "body", rule }));
      }
      if (error !== null && isJson(text)) {
        const rule = "must not have the keys __proto__ or constructor.prototype";
        return done(new AppError("bad_request", { field: "body", rule }));
      }
      done(error, value);
    });
  });
  // A Content-Type that cannot even be read would otherwise be refused before a parser is asked.
  app.addHook("onRequest", (request, _reply, done) => {
    if (request.raw.headers["content-type"] !== undefined) {
      request.raw.headers["content-type"] = "application/json";
    }
    done();
  });
}

/** Fastify's parser tells a forbidden key and broken JSON by one error. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
