import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import type { Commands, Queries, Target } from "#agent/api/ports.ts";
import { writeContext } from "#agent/api/wire.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { detectedNodes } from "#shared/registry/queries/nodes.ts";

import { READ_DETECTED, READ_NODE, READ_NODES, WRITE } from "./gates.ts";
import { NodeList } from "./node-list.ts";
import { NodePath, RegisterBody, UpdateBody } from "./schemas.ts";
import { DONE, ok, toWireNode } from "./translate.ts";

// What If-Match is about.
const NODES: Target = { topic: "nodes", id: "" };
const node = (uuid: string): Target => ({ topic: "nodes", id: uuid });

/** Detected and registered nodes: seed 000, "Configuring registry". */
export const nodeRoutes: FastifyPluginAsyncTypebox<{ commands: Commands; queries: Queries }> = async (
  app,
  { commands, queries },
) => {
  const list = new NodeList();

  app.get("/api/v1/registry/nodes/new", { config: READ_DETECTED }, async () =>
    ok(detectedNodes(queries.registry)),
  );

  app.post("/api/v1/registry/node", { config: WRITE, schema: { body: RegisterBody } }, async (request) => {
    const { uuid, zone_id, uri, user, repl_user, cfg } = request.body;
    const logins = { ...(user !== undefined && { user }), ...(repl_user !== undefined && { repl_user }) };
    await commands.submit(
      { type: "node.register", uuid, zone_id, uri, ...logins, cfg: cfg ?? {} },
      writeContext(request, NODES),
    );
    return DONE;
  });

  app.put(
    "/api/v1/registry/node/:node",
    { config: WRITE, schema: { params: NodePath, body: UpdateBody } },
    async (request) => {
      const { zone_id, uri, user, repl_user, cfg } = request.body;
      const passed = {
        ...(zone_id !== undefined && { zone_id }),
        ...(uri !== undefined && { uri }),
        ...(user !== undefined && { user }),
        ...(repl_user !== undefined && { repl_user }),
        ...(cfg !== undefined && { cfg }),
      };
      const uuid = request.params.node;
      await commands.submit({ type: "node.update", uuid, ...passed }, writeContext(request, node(uuid)));
      return DONE;
    },
  );

  app.get("/api/v1/registry/node", { config: READ_NODES }, async (_request, reply) =>
    reply.type("application/json; charset=utf-8").send(list.body(queries.registry)),
  );

  // A map with this node only: the form of the seed's sample, which serves both.
  app.get(
    "/api/v1/registry/node/:node",
    { config: READ_NODE, schema: { params: NodePath } },
    async (request) => {
      const uuid = request.params.node;
      const found = queries.registry.nodes.get(uuid);
      if (found === undefined) throw new AppError("node_not_registered", { node: uuid });
      return ok(Object.fromEntries([[uuid, toWireNode(found)]]));
    },
  );

  app.delete(
    "/api/v1/registry/node/:node",
    { config: WRITE, schema: { params: NodePath } },
    async (request) => {
      const uuid = request.params.node;
      await commands.submit({ type: "node.unregister", uuid }, writeContext(request, node(uuid)));
      return DONE;
    },
  );
};
