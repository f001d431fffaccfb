import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type, type TSchema } from "typebox";

import { BootstrapView } from "./bootstrap.ts";
import { ClusterView } from "./cluster.ts";
import { NotAcceptable } from "./errors.ts";
import { READ } from "./gates.ts";
import { LicenseView } from "./license.ts";
import { NodeStatusView } from "./node-status.ts";
import { NodeView } from "./nodes.ts";
import { PolicyView } from "./policy.ts";
import { BootstrapBody } from "./schemas.ts";
import { UserView } from "./users.ts";

/** The objects of this API, by the vendor's names: what is sent to bootstrap, what all others are shown as. */
const OBJECTS: Readonly<Record<string, TSchema>> = {
  bootstrap: BootstrapBody,
  bootstrap_status: BootstrapView,
  cluster: ClusterView,
  cluster_settings: PolicyView,
  license: LicenseView,
  node: NodeView,
  node_status: NodeStatusView,
  user: UserView,
};

const Wanted = Type.Object({ object: Type.Optional(Type.String({ maxLength: 128 })) });

/** GET /v1/jsonschema?object=NAME: the schema of one object; without a name, all of them. */
export const jsonSchemaRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get("/v1/jsonschema", { schema: { querystring: Wanted }, config: READ }, async ({ query }) => {
    const { object = "" } = query;
    if (object === "") return OBJECTS;
    const found = Object.hasOwn(OBJECTS, object) ? OBJECTS[object] : undefined;
    if (found !== undefined) return found;
    const rule = `must be one of ${Object.keys(OBJECTS).join(", ")}`;
    throw new NotAcceptable("unknown_object", { field: "object", rule });
  });
};
