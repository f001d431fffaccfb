import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { OWN_CODES, toRedisError } from "#agent/api/dialects/redis/errors.ts";
import { ClusterView } from "#agent/api/dialects/redis/cluster.ts";
import { LicenseView } from "#agent/api/dialects/redis/license.ts";
import { NodeStatusView } from "#agent/api/dialects/redis/node-status.ts";
import { NodeView } from "#agent/api/dialects/redis/nodes.ts";
import { PolicyView } from "#agent/api/dialects/redis/policy.ts";
import { BootstrapBody } from "#agent/api/dialects/redis/schemas.ts";
import { UserView } from "#agent/api/dialects/redis/users.ts";
import { BOOTSTRAP_ERROR_CODES } from "#shared/bootstrap/machine.ts";
import { errorExamples } from "#test/support/error-examples.ts";
import { FakeApi } from "#test/support/fake-api.ts";

// Goal: docs/api/redis.md says what the code does: every path, every field of the request and of what is shown, every code.

const PAGE = readFileSync(new URL("../../../docs/api/redis.md", import.meta.url), "utf8");

/** The text between a heading and the next one. */
function section(heading: string): string {
  const [, rest = ""] = PAGE.split(`\n## ${heading}\n`);
  return rest.split("\n## ")[0] ?? "";
}

/** What stands in backticks in a text. */
function named(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
}

/** The first cells of a section's tables, headers left out. */
function rowsOf(heading: string): string[] {
  const lines = section(heading).split("\n");
  return lines.filter((line) => line.startsWith("| `")).map((line) => line.split(" | ")[0] ?? "");
}

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
}

/** The paths of a schema's fields, lists not entered. */
function fieldsOf(schema: Node, prefix = ""): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) =>
    field.properties === undefined ? [`${prefix}${name}`] : fieldsOf(field, `${prefix}${name}.`),
  );
}

/** Errors that no call of this dialect can meet: between agents, and of other APIs' records. */
const ELSEWHERE = [
  "request_expired",
  "unknown_command",
  "peer_unreachable",
  "peer_timeout",
  "peer_refused",
  "cluster_exists",
  "member_exists",
  "member_removed",
  "member_name_exists",
  "token_not_found",
  "zone_exists",
  "zone_not_found",
  "zone_in_use",
  "zones_weights_error",
  "node_already_registered",
  "node_not_discovered",
  "node_not_registered",
  "node_in_use",
];

describe("docs/api/redis.md", () => {
  test("has every route of the dialect, and no other", async () => {
    const api = new FakeApi();
    await using _ = api;
    const routes: string[] = [];
    api.app.addHook("onRoute", ({ method, url, config }) => {
      const aliased = url.startsWith("/bootstrap") || url.startsWith("/v1/boostrap");
      if (config?.dialect !== "redis" || aliased || method === "HEAD") return;
      routes.push(`${String(method)} ${url.replace(":uid", "{uid}")}`);
    });
    await api.app.ready();
    const promised = rowsOf("Coverage").flatMap(named);
    expect(promised.toSorted()).toEqual(routes.toSorted());
  });

  test("has every field of the request, and no other", () => {
    const promised = rowsOf("The request").flatMap(named);
    expect(promised.toSorted()).toEqual(fieldsOf(BootstrapBody as Node).toSorted());
  });

  test.each([
    ["Nodes", NodeView],
    ["Nodes", NodeStatusView],
    ["Cluster, policy, license", ClusterView],
    ["Cluster, policy, license", PolicyView],
    ["Cluster, policy, license", LicenseView],
    ["Users", UserView],
  ] as const)("%s: has every field that is shown", (heading, schema) => {
    expect(named(section(heading))).toEqual(expect.arrayContaining(fieldsOf(schema as Node)));
  });

  test("has every code of the bootstrap with what to do", () => {
    expect(rowsOf("Bootstrap errors").flatMap(named)).toEqual([...BOOTSTRAP_ERROR_CODES]);
    const rows = section("Bootstrap errors").match(/^\| `\w+` \|(?:[^|]*\|){3}$/gm) ?? [];
    expect(rows).toHaveLength(BOOTSTRAP_ERROR_CODES.length);
    for (const row of rows) expect(row.split("|").at(-2)?.trim(), row).not.toBe("");
  });

  test("has every code with its status", () => {
    const promised = [...section("Errors").matchAll(/^\| `(\w+)` \| (\d+) \|/gm)].map(
      ([, code = "", status]) => `${code} ${String(status)}`,
    );
    const given = errorExamples()
      .filter(({ kind }) => !ELSEWHERE.includes(kind))
      .map((error) => {
        const { status, body } = toRedisError(error);
        return `${(body as { readonly error_code: string }).error_code} ${status}`;
      });
    const own = OWN_CODES.map((code) => `${code} 406`);
    expect(promised.toSorted()).toEqual([...new Set([...given, ...own])].toSorted());
  });
});
