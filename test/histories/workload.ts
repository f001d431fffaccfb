import type { Prng } from "#shared/lib/prng.ts";

import type { Wish } from "./attempt.ts";
import type { Action } from "./history.ts";

/** What a client knows when it decides what to do next. */
interface Knowledge {
  readonly client: number;
  /** How many things it has done: makes names and values that nobody else uses. */
  readonly count: number;
  /** Newest index it was shown. */
  readonly index: number;
  /** Zones that clients play with; never empty. */
  readonly zones: readonly number[];
  /** Nodes that clients play with. The first one is registered and stays so: a register that is always there. */
  readonly nodes: readonly [string, ...string[]];
}

/** Of a hundred choices. */
const CHANCES: readonly (readonly [number, Action["type"], "write" | "linearizable" | "any"])[] = [
  [12, "create_zone", "write"],
  [12, "delete_zone", "write"],
  [8, "register_node", "write"],
  [6, "unregister_node", "write"],
  [6, "move_node", "write"],
  [14, "set_uri", "write"],
  [8, "read_zones", "linearizable"],
  [16, "read_node", "linearizable"],
  [8, "read_zones", "any"],
  [10, "read_node", "any"],
];
const ALL = CHANCES.reduce((sum, [weight]) => sum + weight, 0);

/** The next thing a client does. Half the writes carry a key; a third of the plain reads ask for what the client has seen. */
export function draw(prng: Prng, known: Knowledge): Wish {
  const [type, how] = drawType(prng);
  const action = drawAction(prng, type, known);
  if (how === "write") {
    return { action, read: null, key: prng.chance(0.5) ? `${known.client}-${known.count}` : null };
  }
  if (how === "linearizable")
    return { action, read: { consistency: "linearizable", min_index: 0 }, key: null };
  const consistency = prng.chance(0.3) ? "stale" : "default";
  return { action, read: { consistency, min_index: prng.chance(0.3) ? known.index : 0 }, key: null };
}

function drawType(prng: Prng): readonly [Action["type"], "write" | "linearizable" | "any"] {
  let left = prng.below(ALL);
  for (const [weight, type, how] of CHANCES) {
    if (left < weight) return [type, how];
    left -= weight;
  }
  return ["read_zones", "linearizable"];
}

function drawAction(prng: Prng, type: Action["type"], { client, count, zones, nodes }: Knowledge): Action {
  const unique = `${client}-${count}`;
  const node = prng.pick(nodes);
  const zone = prng.pick(zones);
  switch (type) {
    case "create_zone":
      return { type, name: unique };
    case "delete_zone":
      return { type, zone };
    case "register_node":
      return { type, node, zone, uri: unique };
    case "unregister_node":
      return nodes.length === 1 || node === nodes[0] ? { type: "move_node", node, zone } : { type, node };
    case "move_node":
      return { type, node, zone };
    case "set_uri":
      return { type, node, uri: unique };
    case "read_node":
      return { type, node };
    case "read_zones":
      return { type };
  }
}
