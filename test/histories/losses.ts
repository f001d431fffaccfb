import type { Action, Call } from "./history.ts";

// What clients can tell for certain of acknowledged writes that are missing at the end (lost), and of writes that took effect
// more than once (doubled). The models judge the same and more; this counts, and names what is gone.

/** One field of a node's record; null while the node is not registered. */
type Value = string | number | null;

/** What became of one field of one node: who wrote what, and what linearizable reads showed. */
interface Field {
  readonly writes: readonly { readonly call: Call; readonly value: Value }[];
  readonly looks: readonly { readonly call: Call; readonly value: Value }[];
}

/** Acknowledged writes that are certainly missing from what the last linearizable reads show, in words. */
export function lostWrites(calls: readonly Call[]): string[] {
  return [...lostZones(calls), ...[...fieldsOf(calls)].flatMap(([name, field]) => lostValues(name, field))];
}

/** Writes that certainly took effect more than once, in words. */
export function doubledWrites(calls: readonly Call[]): string[] {
  return [
    ...doubledZones(calls),
    ...[...fieldsOf(calls)].flatMap(([name, field]) => doubledValues(name, field)),
  ];
}

export function isAcknowledged({ outcome }: Call): boolean {
  return outcome.type === "answered" && outcome.result.type !== "error";
}

/** Acknowledged creates that the last linearizable list lacks although nobody tried to delete them, and deletes it lacks. */
function lostZones(calls: readonly Call[]): string[] {
  const last = calls
    .filter(({ read, action }) => read?.consistency === "linearizable" && action.type === "read_zones")
    .findLast(({ outcome }) => outcome.type === "answered");
  if (last?.outcome.type !== "answered" || last.outcome.result.type !== "zones") return [];
  const ids = new Set(last.outcome.result.zones.map(({ id }) => id));
  const deletes = calls.flatMap((call) =>
    call.action.type === "delete_zone" && mayHaveEffect(call) ? [call.action.zone] : [],
  );
  return calls
    .filter((call) => isAcknowledged(call) && call.ended_ms < last.invoked_ms)
    .flatMap(({ action, outcome }) => {
      if (outcome.type !== "answered") return [];
      const { result } = outcome;
      if (result.type === "id" && !ids.has(result.id) && !deletes.includes(result.id))
        return [`zone ${result.id}`];
      if (action.type === "delete_zone" && ids.has(action.zone)) return [`the delete of zone ${action.zone}`];
      return [];
    });
}

/** Ids that two creates were given, and creates refused for a name that only they had asked for: they met themselves. */
function doubledZones(calls: readonly Call[]): string[] {
  const creates = calls.filter(({ action }) => action.type === "create_zone");
  const ids = creates.flatMap(({ outcome }) =>
    outcome.type === "answered" && outcome.result.type === "id" ? [outcome.result.id] : [],
  );
  const names = Map.groupBy(creates, ({ action }) => (action.type === "create_zone" ? action.name : ""));
  return [
    ...ids.filter((id, place) => ids.indexOf(id) !== place).map((id) => `id ${id}`),
    ...[...names].flatMap(([name, [only, ...others]]) =>
      others.length === 0 && only?.outcome.type === "answered" && only.outcome.result.type === "error"
        ? [`the zone ${name}`]
        : [],
    ),
  ];
}

function fieldsOf(calls: readonly Call[]): Map<string, Field> {
  const nodes = Map.groupBy(calls, ({ action }) => ("node" in action ? action.node : ""));
  nodes.delete("");
  const fields = new Map<string, Field>();
  for (const [node, own] of nodes) {
    for (const field of ["uri", "zone"] as const) {
      fields.set(`the ${field} of node ${node}`, {
        writes: own.filter(mayHaveEffect).flatMap((call) => {
          const value = valueWritten(field, call.action);
          return value === undefined ? [] : [{ call, value }];
        }),
        looks: own.flatMap((call) => {
          const value = valueSeen(field, call);
          return value === undefined ? [] : [{ call, value }];
        }),
      });
    }
  }
  return fields;
}

/**
 * The newest acknowledged writes of a field, when the last look shows what only older writes can have made. A write that was
 * replaced by another acknowledged one is not missed: nobody can tell.
 */
function lostValues(name: string, { writes, looks }: Field): string[] {
  const last = looks.at(-1);
  if (last === undefined) return [];
  const acknowledged = writes.filter(
    ({ call }) => isAcknowledged(call) && call.ended_ms < last.call.invoked_ms,
  );
  const newest = acknowledged.filter(
    ({ call }) => !acknowledged.some((later) => later.call.invoked_ms > call.ended_ms),
  );
  return newest
    .filter(({ call }) => {
      const makers = writes.filter((other) => other.value === last.value);
      return makers.every((maker) => isAcknowledged(maker.call) && maker.call.ended_ms < call.invoked_ms);
    })
    .map(({ value, call }) => `${name}: ${call.action.type}, ${value}; it is ${last.value}`);
}

/**
 * A uri is written once. Seen by one read, gone in a later one, back in a third: it was written again. Unless the third read
 * is itself an old one, which its index tells.
 */
function doubledValues(name: string, { looks }: Field): string[] {
  const before = (call: Call, value: Value, is: boolean): Call[] =>
    looks
      .filter((look) => (look.value === value) === is && look.call.ended_ms < call.invoked_ms)
      .filter((look) => shownAt(look.call) <= shownAt(call))
      .map((look) => look.call);
  const back = looks.filter(
    ({ call, value }) =>
      typeof value === "string" &&
      before(call, value, false).some((gone) => before(gone, value, true).length > 0),
  );
  return [...new Set(back.map(({ value }) => `${name}: ${value}`))];
}

/** Undefined when the action leaves the field as it is. */
function valueWritten(field: "uri" | "zone", action: Action): Value | undefined {
  switch (action.type) {
    case "register_node":
      return action[field];
    case "unregister_node":
      return null;
    case "move_node":
      return field === "zone" ? action.zone : undefined;
    case "set_uri":
      return field === "uri" ? action.uri : undefined;
    case "create_zone":
    case "delete_zone":
    case "read_zones":
    case "read_node":
      return undefined;
  }
}

/** What a linearizable read showed; undefined when it is none. */
function valueSeen(field: "uri" | "zone", { read, outcome }: Call): Value | undefined {
  if (read?.consistency !== "linearizable" || outcome.type !== "answered") return undefined;
  const { result } = outcome;
  if (result.type !== "node") return undefined;
  return result.node === null ? null : result.node[field];
}

function shownAt({ outcome }: Call): number {
  return outcome.type === "answered" ? (outcome.index ?? 0) : 0;
}

function mayHaveEffect(call: Call): boolean {
  return isAcknowledged(call) || call.outcome.type === "unknown";
}
