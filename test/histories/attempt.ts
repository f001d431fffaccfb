import { AUTH } from "#test/support/agents.ts";
import { call, type Answer } from "#test/support/http.ts";

import type { Action, Call, Result } from "./history.ts";

/** Whom clients ask. */
export interface Asked {
  readonly name: string;
  readonly plainUrl: string;
}

/** What a client wants to be done. */
export interface Wish {
  readonly action: Action;
  /** Null for a write. */
  readonly read: Call["read"];
  /** A write with a key may be tried again while its outcome is unknown: it takes effect once. */
  readonly key: string | null;
}

/** How long a client waits for an answer. Milliseconds; less than an agent may take, so some outcomes stay unknown. */
const PATIENCE_MS = 4000;

/** Refusals that are answers of the registry, judged when the command was applied. */
const ANSWERS: ReadonlySet<string> = new Set([
  "zone_exists",
  "zone_not_found",
  "zone_in_use",
  "node_already_registered",
  "node_not_registered",
]);
/** Errors that say for certain that nothing was written: docs/api/orchestrator.md. */
const NO_EFFECT: ReadonlySet<string> = new Set([
  "quorum_lost",
  "overloaded",
  "not_in_cluster",
  "index_not_reached",
]);
/** Errors that leave open whether something was written. */
const OPEN: ReadonlySet<string> = new Set(["outcome_unknown", "request_expired"]);
/** Errors of a connection that never came about. */
const NOT_CONNECTED: ReadonlySet<unknown> = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"]);

/** One request and what it came to. Never rejects: no answer is an outcome, too. */
export async function attempt(
  agent: Asked,
  { action, read, key }: Wish,
  patienceMs: number | null,
): Promise<Call["outcome"]> {
  const { method, path, body } = toRequest(action);
  const query = read === null ? "" : `?consistency=${read.consistency}&min_index=${read.min_index}&wait=2s`;
  try {
    const answer = await call(`${agent.plainUrl}/api/v1/${path}${query}`, {
      method,
      auth: AUTH,
      timeoutMs: patienceMs ?? PATIENCE_MS,
      headers: key === null ? {} : { "idempotency-key": key },
      ...(body !== undefined && { body }),
    });
    return toOutcome(action, answer);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : String(error);
    return { type: NOT_CONNECTED.has(code) ? "refused" : "unknown", reason: String(code) };
  }
}

function toRequest(action: Action): { method: string; path: string; body?: unknown } {
  switch (action.type) {
    case "create_zone":
      return { method: "POST", path: "zone", body: { name: action.name } };
    case "delete_zone":
      return { method: "DELETE", path: `zone/${action.zone}` };
    case "read_zones":
      return { method: "GET", path: "zone" };
    case "register_node": {
      const { node, zone, uri } = action;
      return { method: "POST", path: "registry/node", body: { uuid: node, zone_id: zone, uri } };
    }
    case "unregister_node":
      return { method: "DELETE", path: `registry/node/${action.node}` };
    case "move_node":
      return { method: "PUT", path: `registry/node/${action.node}`, body: { zone_id: action.zone } };
    case "set_uri":
      return { method: "PUT", path: `registry/node/${action.node}`, body: { uri: action.uri } };
    case "read_node":
      return { method: "GET", path: `registry/node/${action.node}` };
  }
}

function toOutcome(action: Action, { status, headers, json, text }: Answer): Call["outcome"] {
  const header = headers["x-muster-index"];
  const index = header === undefined ? null : Number(header);
  if (status === 200) return { type: "answered", index, result: toResult(action, json.data) };
  const name = String(json?.error?.message);
  if (action.type === "read_node" && name === "node_not_registered") {
    return { type: "answered", index, result: { type: "node", node: null } };
  }
  if (ANSWERS.has(name)) return { type: "answered", index, result: { type: "error", error: name } };
  if (NO_EFFECT.has(name)) return { type: "refused", reason: name };
  if (OPEN.has(name)) return { type: "unknown", reason: name };
  return { type: "unknown", reason: `unexpected ${status} ${text.slice(0, 200)}` };
}

function toResult(action: Action, data: Answer["json"]): Result {
  if (action.type === "create_zone") return { type: "id", id: data.id };
  if (action.type === "read_zones") return { type: "zones", zones: data };
  if (action.type !== "read_node") return { type: "done" };
  const { zone, uri } = data[action.node];
  return { type: "node", node: { zone, uri } };
}
