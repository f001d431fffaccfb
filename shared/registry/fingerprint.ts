import { canonicalJson } from "#shared/lib/order.ts";
import type { Topic } from "#shared/registry/command.ts";
import { fnv1a52, fnv1a64 } from "#shared/registry/digest.ts";
import type { Touched } from "#shared/registry/reducers/outcome.ts";
import {
  versionKey,
  type CommandResult,
  type Fingerprint,
  type RegistryState,
} from "#shared/registry/state.ts";
import { textOf } from "#shared/registry/texts.ts";

// Agents that applied the same entries hold the same state. This is how they notice when they do not: a mark for each
// record, kept up to date change by change, the sum of all marks, and a chain over every answer that was ever given. It
// finds accidents (a defect, a flipped bit, a wrong file put back), not somebody who forges a state to fit.

/** Marks are whole numbers below this, so that the sum of two is exact. */
const MODULUS = 2 ** 52;

/** Before the first entry. */
export function emptyFingerprint(): Fingerprint {
  return { marks: new Map(), sum: 0, chain: "" };
}

/** 16 hex digits that stand for the whole state at its index: equal states give equal text, unequal ones almost surely not. */
export function stateHash(state: Readonly<RegistryState>): string {
  const { fingerprint, index, term, at, elapsedMs, nextUid, nextZoneId, nextUserUid } = state;
  const { sum, chain, marks } = fingerprint;
  const { members, zones, nodes, users, tokens } = state;
  const counts = [members.size, zones.size, nodes.size, users.size, tokens.size, marks.size];
  return fnv1a64(
    [sum, chain, index, term, at, elapsedMs, nextUid, nextZoneId, nextUserUid, ...counts].join(" "),
  );
}

/** After a command: the marks of what it changed. Costs as much as the changed records are long. */
export function remark(state: RegistryState, touched: readonly Touched[]): void {
  const { fingerprint } = state;
  for (const { topic, id } of touched) {
    const key = versionKey(topic, id);
    fingerprint.sum = (fingerprint.sum - (fingerprint.marks.get(key) ?? 0) + MODULUS) % MODULUS;
    const mark = markOf(state, topic, id);
    if (mark === null) {
      fingerprint.marks.delete(key);
    } else {
      fingerprint.marks.set(key, mark);
      fingerprint.sum = (fingerprint.sum + mark) % MODULUS;
    }
  }
}

/** After each entry: what it was and what it was answered. */
export function lengthenChain(state: RegistryState, result: CommandResult | null): void {
  const { fingerprint, index, term } = state;
  fingerprint.chain = fnv1a64(`${fingerprint.chain} ${index} ${term} ${canonicalJson(result)}`);
}

/** All marks anew, for a state that was read from a snapshot. */
export function markAll(state: RegistryState): void {
  state.fingerprint.marks.clear();
  state.fingerprint.sum = 0;
  remark(state, everyRecord(state));
}

/** Every record that has a mark. Members that were removed have one: they never come back. */
function everyRecord(state: Readonly<RegistryState>): Touched[] {
  const of = (topic: Topic, ids: Iterable<string | number>): Touched[] =>
    [...ids].map((id) => ({ topic, op: "set", id: String(id) }));
  return [
    ...of("cluster", [""]),
    ...of("members", state.members.keys()),
    ...of("members", state.tombstones.keys()),
    ...of("zones", state.zones.keys()),
    ...of("weights", [""]),
    ...of("nodes", state.nodes.keys()),
    ...of("users", state.users.keys()),
    ...of("tokens", state.tokens.keys()),
  ];
}

/**
 * Looks again at up to `count` records, from place `from` on, whether they still are what their marks say; memory that was
 * changed behind the reducers' back shows here. Answers with the place to go on from and the first record that differs.
 */
export function reviewMarks(
  state: Readonly<RegistryState>,
  from: number,
  count: number,
): { readonly next: number; readonly differs: string | null } {
  const keys = state.fingerprint.marks.keys().drop(from).take(count);
  let seen = 0;
  for (const key of keys) {
    seen += 1;
    const slash = key.indexOf("/");
    const mark = markOf(state, key.slice(0, slash) as Topic, key.slice(slash + 1), canonicalJson);
    if (mark !== state.fingerprint.marks.get(key)) return { next: from + seen, differs: key };
  }
  return { next: seen < count ? 0 : from + seen, differs: null };
}

/** Null when there is no such record. `text` may be told to trust no text of before. */
function markOf(
  state: Readonly<RegistryState>,
  topic: Topic,
  id: string,
  text: (record: object) => string = textOf,
): number | null {
  const record = recordOf(state, topic, id);
  if (record !== null) return fnv1a52(`${topic}/${id} ${versionIn(state, topic, id)} ${text(record)}`);
  const removedAt = topic === "members" ? state.tombstones.get(id) : undefined;
  return removedAt === undefined ? null : fnv1a52(`removed/${id} ${removedAt}`);
}

function versionIn(state: Readonly<RegistryState>, topic: Topic, id: string): number {
  return state.versions.get(versionKey(topic, id)) ?? 0;
}

function recordOf(state: Readonly<RegistryState>, topic: Topic, id: string): object | null {
  switch (topic) {
    case "cluster":
      return state.cluster;
    case "members":
      return state.members.get(id) ?? null;
    case "zones":
      return state.zones.get(Number(id)) ?? null;
    case "weights":
      return state.topicVersions.weights === 0 ? null : state.weights;
    case "nodes":
      return state.nodes.get(id) ?? null;
    case "users":
      return state.users.get(id) ?? null;
    case "tokens":
      return state.tokens.get(id) ?? null;
  }
}
