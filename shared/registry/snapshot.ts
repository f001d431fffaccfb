import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";

import { byText, canonicalJson } from "#shared/lib/order.ts";
import { epochMs, type EpochMs } from "#shared/lib/time.ts";
import {
  ClusterPolicy,
  DnsSuffix,
  NewMember,
  PasswordVerifier,
  TokenKeys,
  TOPICS,
  type Topic,
} from "#shared/registry/command.ts";
import { breaches } from "#shared/registry/invariants.ts";
import { emptyFingerprint, markAll, stateHash } from "#shared/registry/fingerprint.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";
import { nodesByUuid } from "#shared/registry/queries/nodes.ts";
import { isSameRack } from "#shared/registry/queries/racks.ts";
import { tokensById } from "#shared/registry/queries/tokens.ts";
import { zonesById } from "#shared/registry/queries/zones.ts";
import { textOf } from "#shared/registry/texts.ts";
import {
  POLICY_DEFAULT,
  SETTINGS_DEFAULT,
  versionKey,
  type CommandResult,
  type RegistryState,
} from "#shared/registry/state.ts";

/** Raised with every change of the shape below; `decodeState` then reads the one before as well. */
const FORMAT = 3;

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const At = Type.Unsafe<EpochMs>(Count);
const Id = Type.String({ minLength: 1 });

/** A refusal is data here: its facts are not looked into. */
const Result = Type.Unsafe<CommandResult>(
  Type.Union([
    Type.Object({
      ok: Type.Literal(true),
      value: Type.Record(Type.String(), Type.Union([Type.Number(), Type.String()])),
    }),
    Type.Object({
      ok: Type.Literal(false),
      refusal: Type.Object({ kind: Id, facts: Type.Record(Type.String(), Type.Unknown()) }),
    }),
  ]),
);

const Snapshot = Type.Object({
  format: Type.Literal(FORMAT),
  index: Count,
  term: Count,
  at: At,
  elapsedMs: Count,
  cluster: Type.Union([
    Type.Object({
      id: Id,
      name: Type.String(),
      rackAware: Type.Boolean(),
      createdAt: At,
      settings: Type.Object({
        candidatePoolSize: Count,
        failedAfterMs: Count,
        repairPolicy: Type.Enum(["replace", "open"]),
      }),
      incarnation: Count,
      recoveredAt: Type.Union([At, Type.Null()]),
      policy: ClusterPolicy,
      license: Type.String(),
      dnsSuffixes: Type.Array(DnsSuffix),
      trustedCa: Type.String(),
    }),
    Type.Null(),
  ]),
  members: Type.Array(
    Type.Object({
      ...NewMember.properties,
      uid: Count,
      status: Type.Union([Type.Literal("joining"), Type.Literal("active")]),
      addedAt: At,
      failedAt: Type.Union([At, Type.Null()]),
      tookOverAt: Type.Optional(At),
    }),
  ),
  tombstones: Type.Array(Type.Object({ peer: Id, index: Count })),
  nextUid: Count,
  zones: Type.Array(Type.Object({ id: Count, name: Id })),
  nextZoneId: Count,
  weights: Type.Record(Type.String(), Type.Record(Type.String(), Type.Number({ minimum: 0 }))),
  nodes: Type.Array(
    Type.Object({
      uuid: Id,
      zoneId: Count,
      uri: Id,
      user: Type.Optional(Type.String()),
      replUser: Type.Optional(Type.String()),
      cfg: Type.Record(Type.String(), Type.Unknown()),
      hostname: Id,
      name: Id,
    }),
  ),
  users: Type.Array(
    Type.Object({
      uid: Count,
      name: Id,
      role: Type.Union([Type.Literal("admin"), Type.Literal("viewer")]),
      verifier: PasswordVerifier,
      createdAt: At,
      passwordAt: At,
      displayName: Type.String(),
      emailAlerts: Type.Boolean(),
    }),
  ),
  nextUserUid: Count,
  tokens: Type.Array(
    Type.Object({
      id: Id,
      keys: TokenKeys,
      note: Type.String(),
      createdBy: Type.String(),
      createdAt: At,
      expiresAt: At,
      usedBy: Type.Union([Id, Type.Null()]),
      usedAt: Type.Union([At, Type.Null()]),
    }),
  ),
  sessions: Type.Array(
    Type.Object({
      peer: Id,
      session: Count,
      ack: Count,
      results: Type.Array(Type.Object({ seq: Count, index: Count, result: Result })),
    }),
  ),
  /** Oldest first: their order is part of the state. */
  keys: Type.Array(
    Type.Object({ key: Id, digest: Type.String(), index: Count, elapsedMs: Count, result: Result }),
  ),
  /** `[topic/id, index]`. */
  versions: Type.Array(Type.Tuple([Id, Count])),
  /** The chain of the fingerprint, and the hash that the whole state has. */
  chain: Type.String({ maxLength: 16 }),
  hash: Type.String({ maxLength: 16 }),
  topicVersions: Type.Object({
    cluster: Count,
    members: Count,
    zones: Count,
    weights: Count,
    nodes: Count,
    users: Count,
    tokens: Count,
  }),
});
type Snapshot = Static<typeof Snapshot>;

const validator = Compile(Snapshot);

/**
 * The state as versioned JSON. Equal states give equal text, however they came about. Holds password verifiers and logins.
 * Only records that are new since the last time cost more than a look, so that a large registry does not stall its agent.
 */
export function encodeState(state: Readonly<RegistryState>): string {
  const { index, term, at, elapsedMs, cluster, nextUid, nextZoneId, weights, nextUserUid } = state;
  const fields: { readonly [K in keyof Snapshot]: string } = {
    format: canonicalJson(FORMAT),
    index: canonicalJson(index),
    term: canonicalJson(term),
    at: canonicalJson(at),
    elapsedMs: canonicalJson(elapsedMs),
    cluster: canonicalJson(cluster),
    members: list(membersByUid(state).map((member) => textOf(member))),
    tombstones: canonicalJson(
      sorted(state.tombstones).map(([peer, removedAt]) => ({ peer, index: removedAt })),
    ),
    nextUid: canonicalJson(nextUid),
    zones: list(zonesById(state).map((zone) => textOf(zone))),
    nextZoneId: canonicalJson(nextZoneId),
    weights: canonicalJson(weights),
    nodes: list(nodesByUuid(state).map((node) => textOf(node))),
    users: list([...state.users.values()].toSorted((a, b) => a.uid - b.uid).map((user) => textOf(user))),
    nextUserUid: canonicalJson(nextUserUid),
    tokens: list(tokensById(state).map((token) => textOf(token))),
    sessions: canonicalJson(
      sorted(state.sessions).map(([peer, { session, ack, results }]) => ({
        peer,
        session,
        ack,
        results: [...results].toSorted(([a], [b]) => a - b).map(([seq, answer]) => ({ seq, ...answer })),
      })),
    ),
    keys: list([...state.keys].map(([key, record]) => textOf(record, () => ({ key, ...record })))),
    versions: list(sorted(state.versions).map(([key, version]) => `[${JSON.stringify(key)},${version}]`)),
    topicVersions: canonicalJson(state.topicVersions),
    chain: canonicalJson(state.fingerprint.chain),
    hash: canonicalJson(stateHash(state)),
  };
  const parts = sorted(new Map(Object.entries(fields))).map(([name, text]) => `"${name}":${text}`);
  return `{${parts.join(",")}}`;
}

function list(items: readonly string[]): string {
  return `[${items.join(",")}]`;
}

/** Reads what encodeState wrote. Throws an Error that says why a text cannot be used: damaged, or of another version. */
export function decodeState(text: string): RegistryState {
  const snapshot = read(text);
  const { index, term, at, elapsedMs, cluster, nextUid, nextZoneId, weights, nextUserUid } = snapshot;
  const state: RegistryState = {
    index,
    term,
    at: epochMs(at),
    elapsedMs,
    cluster,
    members: unique(snapshot.members, "members", (member) => [member.peer, member]),
    tombstones: unique(snapshot.tombstones, "tombstones", (tombstone) => [tombstone.peer, tombstone.index]),
    nextUid,
    zones: unique(snapshot.zones, "zones", (zone) => [zone.id, zone]),
    nextZoneId,
    weights,
    nodes: unique(snapshot.nodes, "nodes", (node) => [node.uuid, node]),
    users: unique(snapshot.users, "users", (user) => [user.name, user]),
    nextUserUid,
    tokens: unique(snapshot.tokens, "tokens", (token) => [token.id, token]),
    sessions: unique(snapshot.sessions, "sessions", ({ peer, session, ack, results }) => [
      peer,
      { session, ack, results: unique(results, "results", ({ seq, ...answer }) => [seq, answer]) },
    ]),
    keys: unique(snapshot.keys, "keys", ({ key, ...record }) => [key, record]),
    versions: unique(snapshot.versions, "versions", (pair) => pair),
    topicVersions: snapshot.topicVersions,
    fingerprint: { ...emptyFingerprint(), chain: snapshot.chain },
  };
  markAll(state);
  const [breach] = breaches(state);
  if (breach !== undefined) throw new Error(`the snapshot is damaged: ${breach}`);
  if (snapshot.hash !== "" && snapshot.hash !== stateHash(state)) {
    throw new Error("the snapshot is damaged: what it holds does not give its hash");
  }
  return state;
}

function read(text: string): Snapshot {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("the snapshot is damaged: it is no JSON");
  }
  const format = typeof value === "object" && value !== null && "format" in value ? value.format : undefined;
  if (format === 1) value = upgradedFrom2(upgradedFrom1(value as SnapshotV1));
  else if (format === 2) value = upgradedFrom2(value as SnapshotV2);
  else if (typeof format === "number" && format !== FORMAT) {
    throw new Error(`the snapshot has format ${format}, this version reads ${FORMAT}; upgrade this agent`);
  }
  if (!validator.Check(value)) {
    const error = validator.Errors(value)[0];
    const where = error === undefined || error.instancePath === "" ? "its root" : error.instancePath;
    throw new Error(`the snapshot is damaged: ${where} ${error?.message ?? "is not valid"}`);
  }
  return value;
}

/** What matters of the shape before: it knew no failed members, no settings and no versions. */
interface SnapshotV1 {
  readonly index: number;
  readonly cluster: object | null;
  readonly members: readonly { readonly peer: string; readonly rack_id?: string | null }[];
  readonly zones: readonly { readonly id: number }[];
  readonly nodes: readonly { readonly uuid: string }[];
  readonly users: readonly { readonly name: string; readonly uid: number; readonly createdAt: number }[];
  readonly keys: readonly { readonly at: number }[];
  readonly sessions: readonly { readonly results: readonly object[] }[];
}

/**
 * Nobody knows any more when a record last changed; the snapshot's own index is never too early. Agents that come from different
 * snapshots differ in this until their states are compared (see fingerprint.ts): then one takes the other's.
 */
function upgradedFrom1(v1: SnapshotV1): SnapshotV2 {
  const { index, cluster, members, zones, nodes, users, keys, sessions } = v1;
  const ids: readonly [Topic, readonly string[]][] = [
    ["cluster", cluster === null ? [] : [""]],
    ["members", members.map(({ peer }) => peer)],
    ["zones", zones.map(({ id }) => String(id))],
    ["weights", [""]],
    ["nodes", nodes.map(({ uuid }) => uuid)],
    ["users", users.map(({ name }) => name)],
  ];
  const v2 = {
    ...v1,
    elapsedMs: 0,
    sessions: sessions.map(({ results, ...session }) => ({
      ...session,
      results: results.map((result) => ({ ...result, index })),
    })),
    keys: keys.map(({ at: _at, ...key }) => ({ ...key, elapsedMs: 0 })),
    cluster: cluster === null ? null : { ...cluster, settings: {} },
    members: members.map((member) => ({ ...member, failedAt: null })),
    versions: ids.flatMap(([topic, all]) => all.map((id) => [versionKey(topic, id), index])),
    topicVersions: Object.fromEntries(TOPICS.map((topic) => [topic, index])),
    chain: "",
    hash: "",
  };
  return v2;
}

/** What matters of the shape before: it knew no policy, no license, no incarnation, no tokens, and less of its users. */
interface SnapshotV2 {
  readonly cluster: { readonly settings: object } | null;
  /** Oldest first. */
  readonly members: readonly { readonly rack_id?: string | null }[];
  readonly users: readonly { readonly uid: number; readonly createdAt: number }[];
  readonly topicVersions: object;
}

/**
 * What is added is what the reducers make of the same entries today. The hash cannot be right for a state with more in it; that the text is
 * whole says its store's own checksum.
 */
function upgradedFrom2(v2: SnapshotV2): object {
  const { cluster, members, users, topicVersions } = v2;
  return {
    ...v2,
    format: FORMAT,
    cluster:
      cluster === null
        ? null
        : { ...CLUSTER_ADDED, ...cluster, settings: { ...SETTINGS_DEFAULT, ...cluster.settings } },
    members: members.map((member) => ({ ...member, rack_id: firstSpelling(members, member.rack_id) })),
    users: users.map((user) => ({
      ...user,
      passwordAt: user.createdAt,
      displayName: user.uid === 1 ? "Administrator" : "",
      emailAlerts: false,
    })),
    tokens: [],
    topicVersions: { ...topicVersions, tokens: 0 },
    hash: "",
  };
}

/** A rack was spelt as each host liked; now it is spelt as its first member does. */
function firstSpelling(members: SnapshotV2["members"], rackId: string | null | undefined): unknown {
  if (typeof rackId !== "string") return rackId;
  return members.find(({ rack_id }) => typeof rack_id === "string" && isSameRack(rack_id, rackId))?.rack_id;
}

const CLUSTER_ADDED = {
  incarnation: 1,
  recoveredAt: null,
  policy: POLICY_DEFAULT,
  license: "",
  dnsSuffixes: [],
  trustedCa: "",
} as const;

function unique<I, K, V>(items: readonly I[], what: string, pair: (item: I) => [K, V]): Map<K, V> {
  const map = new Map(items.map(pair));
  if (map.size !== items.length) throw new Error(`the snapshot is damaged: two ${what} have the same key`);
  return map;
}

function sorted<V>(map: ReadonlyMap<string, V>): [string, V][] {
  return [...map].toSorted(([a], [b]) => byText(a, b));
}
