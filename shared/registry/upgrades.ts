import { TOPICS, type Topic } from "#shared/registry/command.ts";
import { isSameRack } from "#shared/registry/queries/racks.ts";
import { POLICY_DEFAULT, SETTINGS_DEFAULT, versionKey } from "#shared/registry/state.ts";

/**
 * A snapshot of an earlier format, made into today's; any other value as it is. Nothing is checked here but what is needed: what comes out is
 * checked like any other snapshot. Throws when a text is not of the format it names.
 */
export function upgraded(value: unknown): unknown {
  const format = formatOf(value);
  if (format !== 1 && format !== 2) return value;
  try {
    return format === 1 ? upgradedFrom1(value as SnapshotV1) : upgradedFrom2(value as SnapshotV2);
  } catch {
    throw new Error(`the snapshot is damaged: it is not what format ${format} prescribes`);
  }
}

/** What the value calls its format; undefined when it does not. */
export function formatOf(value: unknown): unknown {
  return typeof value === "object" && value !== null && "format" in value ? value.format : undefined;
}

/** What matters of format 1: it knew no failed members, no settings and no versions. */
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
function upgradedFrom1(v1: SnapshotV1): object {
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
  return upgradedFrom2(v2);
}

/** What matters of format 2: it knew no policy, no license, no incarnation, no tokens, and less of its users. */
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
    format: 3,
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
