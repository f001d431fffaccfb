import type { FastifyPluginAsync } from "fastify";

import type { Commands, Queries } from "#agent/api/ports.ts";
import { registerErrorForm } from "#agent/api/wire.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { nestsDeeperThan } from "#shared/lib/depth.ts";
import { JSON_DEPTH_MAX } from "#shared/lib/limits.ts";

import { toOrchestratorError } from "./errors.ts";
import { nodeRoutes } from "./nodes.ts";
import { zoneRoutes } from "./zones.ts";

/** The orchestrator's API, seed 000, everything under `/api/v1`: what is covered is in docs/api/orchestrator.md. */
export const orchestratorDialect: FastifyPluginAsync<{ commands: Commands; queries: Queries }> = async (
  app,
  deps,
) => {
  registerErrorForm(app, toOrchestratorError, {
    paths: ["/api/v1"],
    unknown: { before: "member", auth: "read", needs: "nothing" },
  });
  // The orchestrator's manual calls it with `curl -d '{…}'`, which says application/x-www-form-urlencoded: JSON it is all the same.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "string" }, async (_request: unknown, text: string) =>
    toJson(text),
  );
  await app.register(zoneRoutes, deps);
  await app.register(nodeRoutes, deps);
};

/** The body's value; undefined when there is none. */
function toJson(text: string): unknown {
  if (text.trim() === "") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new AppError("bad_request", { field: "body", rule: "must be valid JSON" });
  }
  if (nestsDeeperThan(value, JSON_DEPTH_MAX)) {
    throw new AppError("bad_request", {
      field: "body",
      rule: `must not nest deeper than ${JSON_DEPTH_MAX} levels`,
    });
  }
  return value;
}
