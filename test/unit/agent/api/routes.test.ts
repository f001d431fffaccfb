import { expect, test } from "vitest";

import { RouteTable } from "#agent/api/routes.ts";

const table = new RouteTable();
table.add(["GET"], "/a");
table.add(["HEAD"], "/a");
table.add(["POST", "GET"], "/a/:id");
table.add(["DELETE"], "/a/:id/");
table.add(["GET"], "/v1.0/x");
table.add(["GET"], "/");
table.add(["GET"], "/files/*");

test.each([
  ["/a", "GET HEAD"],
  ["/a/", "GET HEAD"],
  ["/a/7", "DELETE GET POST"],
  ["/a/7/", "DELETE GET POST"],
  ["/a/7/8", ""],
  ["/a//", ""],
  ["/b", ""],
  // A dot is a dot.
  ["/v1.0/x", "GET"],
  ["/v1x0/x", ""],
  ["/", "GET"],
  ["/files/x/y", "GET"],
])("%s has %j", (path, methods) => {
  expect(table.methodsOf(path).join(" ")).toBe(methods);
});
