import { REFUSAL_NAMES_MAX, ZONES_MAX } from "#shared/lib/limits.ts";
import { byText } from "#shared/lib/order.ts";
import { done, refuse, type Reducer, type Touched } from "#shared/registry/reducers/outcome.ts";
import type { RegistryState } from "#shared/registry/state.ts";

const WEIGHTS: Touched = { topic: "weights", op: "set", id: "" };

/** Answers `{ id }`: dense from 1, never given twice. */
export const createZone: Reducer<"zone.create"> = (state, { name }) => {
  if (idOfName(state, name) !== undefined) return refuse("zone_exists", { name });
  if (state.zones.size >= ZONES_MAX) return refuse("limit_reached", { what: "zones", limit: ZONES_MAX });
  const id = state.nextZoneId;
  state.nextZoneId += 1;
  state.zones.set(id, { id, name });
  return done([{ topic: "zones", op: "set", id: String(id) }], { id });
};

/** A zone may be renamed to the name it has. */
export const renameZone: Reducer<"zone.rename"> = (state, { id, name }) => {
  if (!state.zones.has(id)) return refuse("zone_not_found", { zone: String(id) });
  const holder = idOfName(state, name);
  if (holder !== undefined && holder !== id) return refuse("zone_exists", { name });
  if (holder === id) return done([]);
  state.zones.set(id, { id, name });
  return done([{ topic: "zones", op: "set", id: String(id) }]);
};

/** Refused while a registered node is in the zone. The weights forget the zone too. */
export const deleteZone: Reducer<"zone.delete"> = (state, { id }) => {
  const zone = String(id);
  if (!state.zones.has(id)) return refuse("zone_not_found", { zone });
  const nodes = [...state.nodes.values()].filter(({ zoneId }) => zoneId === id).map(({ uuid }) => uuid);
  if (nodes.length > 0) {
    return refuse("zone_in_use", { zone, nodes: nodes.toSorted(byText).slice(0, REFUSAL_NAMES_MAX) });
  }
  state.zones.delete(id);
  const touched: Touched[] = [{ topic: "zones", op: "delete", id: zone }];
  if (Object.entries(state.weights).some(([from, row]) => from === zone || Object.hasOwn(row, zone))) {
    state.weights = Object.fromEntries(
      Object.entries(state.weights)
        .filter(([from]) => from !== zone)
        .map(([from, row]) => [from, Object.fromEntries(Object.entries(row).filter(([to]) => to !== zone))]),
    );
    touched.push(WEIGHTS);
  }
  return done(touched);
};

/**
 * Replaces the whole matrix (seed 000). A distance may be given one way only; the distance of a zone to itself is absent
 * or 0, as vshard demands of its weights.
 */
export const setWeights: Reducer<"zones.set_weights"> = (state, { weights }) => {
  const ids = new Set(Object.entries(weights).flatMap(([from, row]) => [from, ...Object.keys(row)]));
  const unknown = [...ids].filter((id) => !isZone(state, id)).toSorted(byText);
  if (unknown.length > 0) {
    return refuse("zones_weights_error", { reason: `these zones do not exist: ${listed(unknown)}` });
  }
  const selfish = Object.keys(weights)
    .filter((id) => (weights[id]?.[id] ?? 0) !== 0)
    .toSorted(byText);
  if (selfish.length > 0) {
    const reason = `the weight of a zone to itself must be absent or 0: ${listed(selfish)}`;
    return refuse("zones_weights_error", { reason });
  }
  state.weights = weights;
  return done([WEIGHTS]);
};

function idOfName(state: RegistryState, name: string): number | undefined {
  for (const zone of state.zones.values()) if (zone.name === name) return zone.id;
  return undefined;
}

/** Zone ids are texts in the matrix; only their plain decimal form counts (`1`, not `01`), so that no zone appears twice. */
function isZone(state: RegistryState, id: string): boolean {
  return /^[1-9]\d{0,15}$/.test(id) && state.zones.has(Number(id));
}

function listed(ids: readonly string[]): string {
  const named = ids.slice(0, REFUSAL_NAMES_MAX).map((id) => JSON.stringify(id.slice(0, REFUSAL_NAMES_MAX)));
  return named.join(", ") + (ids.length > named.length ? ", …" : "");
}
