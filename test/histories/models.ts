import { isDeepStrictEqual } from "node:util";

import type { Action, Result } from "./history.ts";
import type { Model } from "./linearize.ts";

// What the registry promises, told once more in a few lines and without the code under test. Each model sees some of the
// actions only: the narrower, the cheaper to judge and the clearer when it fails.

type RegistryModel<State extends object | string | number> = Model<State, Action, Result>;

/** What may happen now: an answer and what follows from it. An action with an unknown outcome has the first one. */
type Possible<State> = readonly (readonly [result: Result, next: State])[];

interface Zones {
  /** The id of the next zone: dense from 1, never given twice. */
  readonly next: number;
  /** Names by id, in the order of ids. */
  readonly names: ReadonlyMap<number, string>;
}

/** A node's record. */
type Node = { readonly zone: number; readonly uri: string } | "unregistered";

interface Placement {
  readonly zones: Zones;
  /** Zone of each registered node. */
  readonly nodes: ReadonlyMap<string, number>;
}

const DONE: Result = { type: "done" };

/** Zone ids as a counter: each create takes the next one, so a create that began after another was answered has a larger id. */
export const counterModel: RegistryModel<number> = {
  init: 0,
  step: (last, action, result) => {
    if (action.type !== "create_zone") return null;
    return choose([[{ type: "id", id: last + 1 }, last + 1]], result);
  },
  key: String,
  effect: () => "next id",
  isRead,
  describe,
};

/** Zones by themselves: names are unique, lists are exact. Whether a zone is in use is not judged here. */
export const zonesModel: RegistryModel<Zones> = {
  init: { next: 1, names: new Map() },
  step: (zones, action, result) => {
    const possible = zonesAfter(zones, action);
    if (action.type === "delete_zone" && zones.names.has(action.zone)) {
      return choose([...possible, [refusal("zone_in_use"), zones]], result);
    }
    return choose(possible, result);
  },
  key: keyOfZones,
  isRead,
  describe,
};

/** One node's record: a register that holds nothing while the node is not registered. Whether zones exist is not judged here. */
export const nodeModel: RegistryModel<Node> = {
  init: "unregistered",
  step: (node, action, result) => choose(nodeAfter(node, action), result),
  key: (node) => JSON.stringify(node),
  isRead,
  describe,
};

/** Zones and the nodes in them: no zone with a node is ever deleted, no node gets into a zone that is not there. */
export const placementModel: RegistryModel<Placement> = {
  init: { zones: zonesModel.init, nodes: new Map() },
  step: (placement, action, result) => choose(placementAfter(placement, action), result),
  key: ({ zones, nodes }) =>
    `${keyOfZones(zones)}|${[...nodes]
      .map(([node, zone]) => `${node} ${zone}`)
      .toSorted()
      .join(",")}`,
  isRead,
  describe,
};

/** A refusal changes nothing either. */
function isRead({ type }: Action, result: Result): boolean {
  return type === "read_zones" || type === "read_node" || result.type === "error";
}

function choose<State>(possible: Possible<State>, result: Result | undefined): State | null {
  const found = possible.find(([would]) => result === undefined || sameResult(would, result));
  return found === undefined ? null : found[1];
}

function zonesAfter(zones: Zones, action: Action): Possible<Zones> {
  const { next, names } = zones;
  if (action.type === "read_zones") {
    return [[{ type: "zones", zones: listOf(zones) }, zones]];
  }
  if (action.type === "create_zone") {
    if (names.values().some((name) => name === action.name)) return [[refusal("zone_exists"), zones]];
    const after = { next: next + 1, names: new Map(names).set(next, action.name) };
    return [[{ type: "id", id: next }, after]];
  }
  if (action.type === "delete_zone") {
    if (!names.has(action.zone)) return [[refusal("zone_not_found"), zones]];
    const left = new Map(names);
    left.delete(action.zone);
    return [[DONE, { next, names: left }]];
  }
  return [];
}

function nodeAfter(node: Node, action: Action): Possible<Node> {
  const registered = node !== "unregistered";
  if (action.type === "read_node") return [[{ type: "node", node: registered ? node : null }, node]];
  if (action.type === "register_node") {
    if (registered) return [[refusal("node_already_registered"), node]];
    return [
      [DONE, { zone: action.zone, uri: action.uri }],
      [refusal("zone_not_found"), node],
    ];
  }
  if (!registered) return [[refusal("node_not_registered"), node]];
  if (action.type === "unregister_node") return [[DONE, "unregistered"]];
  if (action.type === "set_uri") return [[DONE, { ...node, uri: action.uri }]];
  if (action.type === "move_node") {
    return [
      [DONE, { ...node, zone: action.zone }],
      [refusal("zone_not_found"), node],
    ];
  }
  return [];
}

function placementAfter(placement: Placement, action: Action): Possible<Placement> {
  const { zones, nodes } = placement;
  switch (action.type) {
    case "delete_zone":
      if (nodes.values().some((zone) => zone === action.zone)) return [[refusal("zone_in_use"), placement]];
      return withZones(placement, zonesAfter(zones, action));
    case "create_zone":
    case "read_zones":
      return withZones(placement, zonesAfter(zones, action));
    case "register_node":
      if (nodes.has(action.node)) return [[refusal("node_already_registered"), placement]];
      return [into(placement, action)];
    case "move_node":
      if (!nodes.has(action.node)) return [[refusal("node_not_registered"), placement]];
      return [into(placement, action)];
    case "unregister_node": {
      if (!nodes.has(action.node)) return [[refusal("node_not_registered"), placement]];
      const left = new Map(nodes);
      left.delete(action.node);
      return [[DONE, { zones, nodes: left }]];
    }
    case "read_node": {
      const zone = nodes.get(action.node);
      return [[{ type: "node", node: zone === undefined ? null : { zone, uri: "" } }, placement]];
    }
    case "set_uri":
      return [];
  }
}

function withZones(placement: Placement, possible: Possible<Zones>): Possible<Placement> {
  return possible.map(([result, zones]) => [
    result,
    zones === placement.zones ? placement : { zones, nodes: placement.nodes },
  ]);
}

function into(
  placement: Placement,
  { node, zone }: { readonly node: string; readonly zone: number },
): readonly [Result, Placement] {
  const { zones, nodes } = placement;
  if (!zones.names.has(zone)) return [refusal("zone_not_found"), placement];
  return [DONE, { zones, nodes: new Map(nodes).set(node, zone) }];
}

function refusal(error: string): Result {
  return { type: "error", error };
}

/** Most comparisons are of one list with many states that it does not fit. */
function sameResult(a: Result, b: Result): boolean {
  if (a.type !== "zones" || b.type !== "zones") return isDeepStrictEqual(a, b);
  if (a.zones.length !== b.zones.length) return false;
  return a.zones.every(({ id, name }, place) => b.zones[place]?.id === id && b.zones[place].name === name);
}

/** One list for each state: lists are asked for far more often than zones change. */
const lists = new WeakMap<Zones, { id: number; name: string }[]>();

function listOf(zones: Zones): { id: number; name: string }[] {
  const known = lists.get(zones);
  if (known !== undefined) return known;
  const list = [...zones.names].map(([id, name]) => ({ id, name }));
  lists.set(zones, list);
  return list;
}

function keyOfZones({ next, names }: Zones): string {
  return JSON.stringify([next, ...names]);
}

function describe(action: Action, result: Result | undefined): string {
  const { type, ...given } = action;
  const asked = Object.values(given).join(", ");
  return `${type}(${asked}) → ${result === undefined ? "no answer" : worded(result)}`;
}

function worded(result: Result): string {
  switch (result.type) {
    case "done":
      return "done";
    case "id":
      return `id ${result.id}`;
    case "zones":
      return `zones ${result.zones.map(({ id, name }) => `${id} ${name}`).join(", ")}`;
    case "node":
      return result.node === null ? "not registered" : `zone ${result.node.zone}, ${result.node.uri}`;
    case "error":
      return result.error;
  }
}
