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
} from "#shared/registry/command.ts";
import { breaches } from "#shared/registry/invariants.ts";
import { emptyFingerprint, markAll, stateHash } from "#shared/registry/fingerprint.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";
import { nodesByUuid } from "#shared/registry/queries/nodes.ts";
import { tokensById } from "#shared/registry/queries/tokens.ts";
import { zonesById } from "#shared/registry/queries/zones.ts";
import { textOf } from "#shared/registry/texts.ts";
import { formatOf, upgraded } from "#shared/registry/upgrades.ts";
import { usersByUid } from "#shared/registry/queries/users.ts";
import type { CommandResult, RegistryState } from "#shared/registry/state.ts";

/** Raised with every change of the shape below; upgrades.ts then reads the one before as well. */
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
    users: list(usersByUid(state).map((user) => textOf(user))),
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
  value = upgraded(value);
  const format = formatOf(value);
  if (typeof format === "number" && format !== FORMAT) {
    throw new Error(`the snapshot has format ${format}, this version reads ${FORMAT}; upgrade this agent`);
  }
  if (!validator.Check(value)) {
    const error = validator.Errors(value)[0];
    const where = error === undefined || error.instancePath === "" ? "its root" : error.instancePath;
    throw new Error(`the snapshot is damaged: ${where} ${error?.message ?? "is not valid"}`);
  }
  return value;
}

function unique<I, K, V>(items: readonly I[], what: string, pair: (item: I) => [K, V]): Map<K, V> {
  const map = new Map(items.map(pair));
  if (map.size !== items.length) throw new Error(`the snapshot is damaged: two ${what} have the same key`);
  return map;
}

function sorted<V>(map: ReadonlyMap<string, V>): [string, V][] {
  return [...map].toSorted(([a], [b]) => byText(a, b));
}
