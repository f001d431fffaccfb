import type { Call } from "./history.ts";

/** A write of a value that no other write has. */
interface Write {
  readonly invokedMs: number;
  /** Infinity when no answer came. */
  readonly endedMs: number;
  /** From this index on it can be read; Infinity when unknown. */
  readonly index: number;
}

/** A read that was answered. */
interface Look<T> {
  readonly agent: string;
  readonly invokedMs: number;
  readonly endedMs: number;
  readonly index: number;
  readonly saw: T;
  readonly told: string;
}

/**
 * What reads of any consistency may show, checked on every answer. Values (uris, names of zones) are written once, so each
 * tells which write it came from.
 * - Nothing that nobody wrote, or that was written only afterwards.
 * - At or after the index that a write was answered with, nothing that the write replaced.
 * - At one agent, as long as it lives, never an older value after a newer one; and a zone that was gone stays gone.
 */
export function brokenViews(calls: readonly Call[]): string[] {
  return [...brokenUris(calls), ...brokenLists(calls)];
}

function brokenUris(calls: readonly Call[]): string[] {
  const writes = new Map<string, Write>();
  for (const call of calls) {
    const { action } = call;
    if (action.type === "set_uri" || action.type === "register_node") writes.set(action.uri, toWrite(call));
  }
  const looks = looksOf(calls, ({ action, outcome }) =>
    action.type === "read_node" && outcome.type === "answered" && outcome.result.type === "node"
      ? outcome.result.node === null
        ? null
        : { node: action.node, uri: outcome.result.node.uri }
      : null,
  );
  const out: string[] = [];
  for (const [node, own] of Map.groupBy(looks, ({ saw }) => saw.node)) {
    const written = calls.flatMap(({ action }) =>
      (action.type === "set_uri" || action.type === "register_node") && action.node === node
        ? [[action.uri, writes.get(action.uri) as Write] as const]
        : [],
    );
    for (const look of own) {
      const write = writes.get(look.saw.uri);
      if (write === undefined || write.invokedMs > look.endedMs) {
        out.push(`${look.told}: ${look.saw.uri} was not written by then`);
        continue;
      }
      const missed = written.find(
        ([, later]) => write.endedMs < later.invokedMs && later.index <= look.index,
      );
      if (missed !== undefined) {
        out.push(`${look.told}: ${look.saw.uri}, though ${missed[0]} replaced it at ${missed[1].index}`);
      }
      const newer = own.find(
        (earlier) =>
          earlier.agent === look.agent &&
          earlier.endedMs < look.invokedMs &&
          write.endedMs < (writes.get(earlier.saw.uri)?.invokedMs ?? 0),
      );
      if (newer !== undefined)
        out.push(`${look.told}: ${look.saw.uri} after ${newer.saw.uri} (${newer.told})`);
    }
  }
  return out;
}

function brokenLists(calls: readonly Call[]): string[] {
  const asked = new Set(calls.flatMap(({ action }) => (action.type === "create_zone" ? [action.name] : [])));
  const created = new Map<number, Write>();
  const deleted = new Map<number, Write>();
  const deleteTried = new Map<number, number>();
  for (const call of calls) {
    const { action, outcome } = call;
    const result = outcome.type === "answered" ? outcome.result : null;
    if (result?.type === "id") created.set(result.id, toWrite(call));
    if (action.type !== "delete_zone" || outcome.type === "refused" || result?.type === "error") continue;
    deleteTried.set(action.zone, Math.min(call.invoked_ms, deleteTried.get(action.zone) ?? Infinity));
    if (result?.type === "done") deleted.set(action.zone, toWrite(call));
  }
  const looks = looksOf(calls, ({ outcome }) =>
    outcome.type === "answered" && outcome.result.type === "zones"
      ? new Map(outcome.result.zones.map(({ id, name }) => [id, name]))
      : null,
  );
  const out: string[] = [];
  for (const look of looks) {
    const { saw, told, index, endedMs } = look;
    for (const [id, name] of saw) {
      if (!asked.has(name)) out.push(`${told}: zone ${id} ${name} was created by nobody`);
      if ((created.get(id)?.invokedMs ?? 0) > endedMs) out.push(`${told}: zone ${id} before it was created`);
      if ((deleted.get(id)?.index ?? Infinity) <= index)
        out.push(`${told}: zone ${id} though it was deleted`);
    }
    for (const [id, write] of created) {
      if (saw.has(id) || write.index > index || (deleteTried.get(id) ?? Infinity) < endedMs) continue;
      out.push(`${told}: without zone ${id}, created at ${write.index}`);
    }
  }
  for (const own of Map.groupBy(looks, ({ agent }) => agent).values()) out.push(...returning(own));
  return out;
}

/** Zones that were missing below the highest id in one list of an agent, and are in a later one. */
function returning(looks: readonly Look<ReadonlyMap<number, string>>[]): string[] {
  const highest = new Map(looks.map((look) => [look, Math.max(0, ...look.saw.keys())]));
  return looks.flatMap((look) => {
    const before = looks.filter(({ endedMs }) => endedMs < look.invokedMs);
    return [...look.saw.keys()].flatMap((id) => {
      const without = before.find((one) => !one.saw.has(id) && (highest.get(one) ?? 0) > id);
      return without === undefined ? [] : [`${look.told}: zone ${id}, which was gone (${without.told})`];
    });
  });
}

function toWrite({ invoked_ms, ended_ms, outcome }: Call): Write {
  const done = outcome.type === "answered" && outcome.result.type !== "error";
  return {
    invokedMs: invoked_ms,
    endedMs: done ? ended_ms : Infinity,
    index: done ? (outcome.index ?? Infinity) : Infinity,
  };
}

function looksOf<T>(calls: readonly Call[], see: (call: Call) => T | null): Look<T>[] {
  return calls.flatMap((call): Look<T>[] => {
    const { agent, life, client, action, read, invoked_ms, ended_ms, outcome } = call;
    const saw = see(call);
    if (saw === null || outcome.type !== "answered") return [];
    const span = `${invoked_ms.toFixed(1)}–${ended_ms.toFixed(1)} ms`;
    return [
      {
        agent: `${agent} ${life}`,
        invokedMs: invoked_ms,
        endedMs: ended_ms,
        index: outcome.index ?? 0,
        saw,
        told: `${span} client ${client}, ${read?.consistency} ${action.type} at ${agent}/${life}, index ${outcome.index}`,
      },
    ];
  });
}
