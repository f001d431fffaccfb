import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import type { Commands, Queries, Target } from "#agent/api/ports.ts";
import { writeContext } from "#agent/api/wire.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { zonesById } from "#shared/registry/queries/zones.ts";

import { READ_WEIGHTS, READ_ZONE, READ_ZONES, WRITE } from "./gates.ts";
import { WeightsBody, ZoneBody, ZonePath } from "./schemas.ts";
import { DONE, ok, toZoneId } from "./translate.ts";

// What If-Match is about.
const ZONES: Target = { topic: "zones", id: "" };
const WEIGHTS: Target = { topic: "weights", id: "" };
const zone = (id: number): Target => ({ topic: "zones", id: String(id) });

/** Zones and their weights: seed 000, "Configuring the zones" and "Configuring the zone weights". */
export const zoneRoutes: FastifyPluginAsyncTypebox<{ commands: Commands; queries: Queries }> = async (
  app,
  { commands, queries },
) => {
  app.post("/api/v1/zone", { config: WRITE, schema: { body: ZoneBody } }, async (request) => {
    const name = zoneName(request.body.name);
    const { result } = await commands.submit({ type: "zone.create", name }, writeContext(request, ZONES));
    return ok({ id: result.value["id"], name });
  });

  app.get("/api/v1/zone", { config: READ_ZONES }, async () => ok(zonesById(queries.registry)));

  // The seed has one sample answer for "the specified zone or all the zones": a list either way.
  app.get("/api/v1/zone/:zone", { config: READ_ZONE, schema: { params: ZonePath } }, async ({ params }) => {
    const found = queries.registry.zones.get(toZoneId(params.zone));
    if (found === undefined) throw new AppError("zone_not_found", { zone: params.zone });
    return ok([found]);
  });

  app.put(
    "/api/v1/zone/:zone",
    { config: WRITE, schema: { params: ZonePath, body: ZoneBody } },
    async (request) => {
      const id = toZoneId(request.params.zone);
      const name = zoneName(request.body.name);
      await commands.submit({ type: "zone.rename", id, name }, writeContext(request, zone(id)));
      return DONE;
    },
  );

  app.delete("/api/v1/zone/:zone", { config: WRITE, schema: { params: ZonePath } }, async (request) => {
    const id = toZoneId(request.params.zone);
    await commands.submit({ type: "zone.delete", id }, writeContext(request, zone(id)));
    return DONE;
  });

  app.post("/api/v1/zones/weights", { config: WRITE, schema: { body: WeightsBody } }, async (request) => {
    const { weights } = request.body;
    await commands.submit({ type: "zones.set_weights", weights }, writeContext(request, WEIGHTS));
    return DONE;
  });

  app.get("/api/v1/zones/weights", { config: READ_WEIGHTS }, async () => ok(queries.registry.weights));
};

/** A name that can be shown, and told from others, on one line. */
function zoneName(name: string): string {
  if (/[\p{Cc}\p{Cs}\p{Bidi_Control}]/u.test(name) || name.trim() === "") {
    const rule = "must be visible text on one line: not blank, without control characters";
    throw new AppError("bad_request", { field: "name", rule });
  }
  return name;
}
