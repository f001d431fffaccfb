import { AppError } from "#shared/errors/app-error.ts";

/** What a read may ask beside what its dialect defines. */
export interface Wishes {
  /** Everything that was committed anywhere before the request is shown. */
  readonly linearizable: boolean;
  /** Entry that must have been applied here. */
  readonly minIndex: Wait | null;
  /** A blocking read: what is shown must have changed after this index, or the time is over. Index 0 blocks nobody. */
  readonly changedAfter: Wait | null;
}

interface Wait {
  readonly index: number;
  readonly waitMs: number;
}

const MIN_INDEX_WAIT_MS = 5000;
const BLOCK_WAIT_MS = 5 * 60_000;
/** Longest a caller may wait. Milliseconds. */
const WAIT_MS_MAX = 10 * 60_000;

/**
 * Reads the wishes and removes them from the query, before a dialect validates its own parameters; null when the read need not
 * wait for anything. Throws bad_request.
 *
 * Who takes what, should a dialect have parameters of these names: `consistency` and `min_index` are always ours. `index` is
 * ours where the route blocks, that is, shows something of the registry, and elsewhere the dialect's. `wait` is
 * ours beside one of our indexes and where the route blocks, else the dialect's. No dialect has one of the four so far.
 */
export function takeWishes(
  query: Record<string, unknown>,
  { blocks }: { readonly blocks: boolean },
): Wishes | null {
  const consistency = take(query, "consistency") ?? "default";
  if (consistency !== "linearizable" && consistency !== "default" && consistency !== "stale") {
    throw bad("consistency", "must be one of linearizable, default, stale");
  }
  const linearizable = consistency === "linearizable";
  const minIndex = takeIndex(query, "min_index");
  const changedAfter = blocks ? takeIndex(query, "index") : null;
  if (minIndex === null && changedAfter === null) {
    if (blocks && query["wait"] !== undefined) throw bad("wait", "goes with index or min_index");
    return linearizable ? { linearizable, minIndex, changedAfter } : null;
  }
  const wait = take(query, "wait");
  const waitMs = wait === undefined ? null : parseWait(wait);
  return {
    linearizable,
    minIndex: minIndex === null ? null : { index: minIndex, waitMs: waitMs ?? MIN_INDEX_WAIT_MS },
    changedAfter: changedAfter ? { index: changedAfter, waitMs: waitMs ?? BLOCK_WAIT_MS } : null,
  };
}

function takeIndex(query: Record<string, unknown>, name: string): number | null {
  const text = take(query, name);
  if (text === undefined) return null;
  if (!/^\d{1,15}$/.test(text)) throw bad(name, "must be a whole number, 0 or more");
  return Number(text);
}

function take(query: Record<string, unknown>, name: string): string | undefined {
  const value = query[name];
  if (value === undefined) return undefined;
  if (typeof value !== "string") throw bad(name, "must be given once");
  delete query[name];
  return value;
}

/** A duration a caller may wish to wait, in milliseconds. Throws bad_request that names `wait`. */
export function parseWait(text: string): number {
  const [, digits, unit] = /^(\d{1,7})(ms|s|m)$/.exec(text) ?? [];
  const ms = Number(digits) * (unit === "ms" ? 1 : unit === "s" ? 1000 : 60_000);
  if (Number.isNaN(ms) || ms > WAIT_MS_MAX) {
    throw bad("wait", "must be a duration such as 500ms, 5s or 1m, at most 10m");
  }
  return ms;
}

function bad(field: string, rule: string): AppError {
  return new AppError("bad_request", { field, rule });
}
