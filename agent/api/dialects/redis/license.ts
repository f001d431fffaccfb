import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type, type Static } from "typebox";

import type { Queries } from "#agent/api/ports.ts";
import { writeContext } from "#agent/api/wire.ts";
import { licenseViolation } from "#shared/bootstrap/license.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { LICENSE_CHARS_MAX } from "#shared/lib/limits.ts";

import { clusterOf } from "./cluster.ts";
import type { RedisDeps } from "./deps.ts";
import { READ_SETTINGS, WRITE } from "./gates.ts";
import { CLUSTER } from "./policy.ts";

/**
 * The license as text, under both names in use. What it allows is not read: nothing here is licensed, and there are no shards to count.
 */
export const LicenseView = Type.Object({
  license: Type.String(),
  key: Type.String(),
  features: Type.Array(Type.String()),
  shards_limit: Type.Integer(),
  ram_shards_limit: Type.Integer(),
  ram_shards_in_use: Type.Integer(),
  flash_shards_limit: Type.Integer(),
  flash_shards_in_use: Type.Integer(),
});

const LicenseBody = Type.Object({ license: Type.String({ maxLength: LICENSE_CHARS_MAX }) });

export const licenseRoutes: FastifyPluginAsyncTypebox<RedisDeps> = async (app, { commands, queries }) => {
  const read = { schema: { response: { 200: LicenseView } }, config: READ_SETTINGS };
  app.get("/v1/license", read, async () => toLicense(queries));

  const change = { schema: { body: LicenseBody }, config: WRITE };
  app.put("/v1/license", change, async (request, reply) => {
    const { license } = request.body;
    const violation = licenseViolation(license);
    if (violation !== null) throw new AppError("invalid_license", { violation });
    await commands.submit({ type: "cluster.configure", license }, writeContext(request, CLUSTER));
    // An empty text takes the license away, so there is none to show.
    return license === "" ? reply.send() : reply.send(toLicense(queries));
  });
};

/** Throws not_found when there is none. */
function toLicense(queries: Queries): Static<typeof LicenseView> {
  const { license } = clusterOf(queries);
  if (license === "") throw new AppError("not_found", { what: "a license" });
  return {
    license,
    key: license,
    features: [],
    shards_limit: 0,
    ram_shards_limit: 0,
    ram_shards_in_use: 0,
    flash_shards_limit: 0,
    flash_shards_in_use: 0,
  };
}
