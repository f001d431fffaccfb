import { Type, type Static } from "typebox";

import { MEMBERS_MAX, TOKEN_NOTE_CHARS_MAX, TOKEN_TTL_MS_MAX } from "#shared/lib/limits.ts";
import { HostFacts } from "#shared/model/hardware.ts";

// muster's own API, prefix /muster/v1: what agents, the CLI and probes say to each other. Fields are only ever added.
// Times are milliseconds since the epoch, sizes bytes; a field that cannot be known is null, never left out.

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Texts = Type.Array(Type.String());
const Liveness = Type.Enum(["alive", "suspect", "dead", "left", "unknown"]);

/** Every error of this API. `code` is the kind of shared/errors/kinds.ts, `facts` what that kind carries. */
export const NativeError = Type.Object({
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    facts: Type.Record(Type.String(), Type.Unknown()),
  }),
});
export type NativeError = Static<typeof NativeError>;

/** GET health/live, health/ready. `reason`: why it is not ready, in one sentence. */
export const Health = Type.Object({
  status: Type.Enum(["live", "ready", "not_ready"]),
  reason: Nullable(Type.String()),
});
export type Health = Static<typeof Health>;

/** GET mesh: who this agent is on the mesh, for joiners. Proves nothing: the mesh itself does. */
export const MeshContact = Type.Object({
  peer_id: Type.String(),
  mesh_addrs: Texts,
  cluster_id: Nullable(Type.String()),
  incarnation: Nullable(Type.Integer()),
  software_version: Type.String(),
  protocol: Type.Integer(),
});
export type MeshContact = Static<typeof MeshContact>;

/** `leader`, `voter`: decide. `standby`: next to vote when a voter is lost. All hold the registry and serve the whole API. */
const Role = Type.Enum(["leader", "voter", "standby", "learner"]);

/** One member: what the cluster has agreed on, with its liveness and size as far as this agent has heard. */
export const Member = Type.Object({
  name: Type.String(),
  uid: Type.Integer(),
  peer: Type.String(),
  uuid: Type.String(),
  role: Role,
  status: Type.Enum(["joining", "active"]),
  liveness: Liveness,
  /** Since when the cluster counts it as failed: dead for longer than the grace. One answer for all, unlike liveness. */
  failed_since_ms: Nullable(Type.Integer()),
  /** When it took the place of a host that had failed; null: it joined as itself. */
  took_over_at_ms: Nullable(Type.Integer()),
  addr: Type.String(),
  external_addrs: Texts,
  api_urls: Texts,
  mesh_addrs: Texts,
  rack_id: Nullable(Type.String()),
  software_version: Type.String(),
  added_at_ms: Type.Integer(),
  cores: Nullable(Type.Integer()),
  total_memory: Nullable(Type.Number()),
  /** Of the cluster's own record, without liveness and size: what If-Match of a change of this member takes. */
  etag: Nullable(Type.String()),
});
export type Member = Static<typeof Member>;

/** GET members, in order of uid. */
export const MemberList = Type.Object({ members: Type.Array(Member) });
export type MemberList = Static<typeof MemberList>;

const RepairPolicy = Type.Enum(["replace", "open"]);

/** GET and PATCH cluster: one record of the registry and nothing else, so that its ETag is what If-Match compares. */
export const Cluster = Type.Object({
  id: Type.String(),
  name: Type.String(),
  rack_aware: Type.Boolean(),
  created_at_ms: Type.Integer(),
  /** 1 at first; each recovery adds one. */
  incarnation: Type.Integer(),
  /** When the cluster was last recovered from a copy; null: never. */
  recovered_at_ms: Nullable(Type.Integer()),
  settings: Type.Object({
    /** How many members at most vote or stand by to vote. */
    candidate_pool_size: Type.Integer(),
    /** How long a member must be dead before it counts as failed. */
    failed_after_ms: Type.Integer(),
    /** While a member counts as failed: `replace`: only hosts that take its place may join; `open`: any may. */
    repair_policy: RepairPolicy,
  }),
});
export type Cluster = Static<typeof Cluster>;

/** Body of PATCH cluster: what is to change. */
export const ClusterPatch = Type.Object(
  {
    settings: Type.Optional(
      Type.Object(
        {
          candidate_pool_size: Type.Optional(Type.Integer({ minimum: 1, maximum: MEMBERS_MAX })),
          failed_after_ms: Type.Optional(Type.Integer({ minimum: 1000, maximum: 86_400_000 })),
          repair_policy: Type.Optional(RepairPolicy),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);
export type ClusterPatch = Static<typeof ClusterPatch>;

/** Body of POST leader; may be left out. `to`: name, peer id, uuid or uid of a voter. */
export const LeaderRequest = Type.Union([
  Type.Object(
    { to: Type.Optional(Type.String({ minLength: 1, maxLength: 253 })) },
    { additionalProperties: false },
  ),
  Type.Null(),
]);

/** Answer of POST leader: who leads now. */
export const Leader = Type.Object({ leader: Type.String(), leader_peer: Type.String() });
export type Leader = Static<typeof Leader>;

/** Answer of POST leave: the cluster that this host was in, and where its bootstrap stands. */
export const Left = Type.Object({
  cluster: Type.String(),
  state: Type.String(),
  reason: Nullable(Type.String()),
});
export type Left = Static<typeof Left>;

/** GET status: this agent. */
export const AgentStatus = Type.Object({
  agent: Type.Object({
    name: Type.String(),
    peer: Type.String(),
    uuid: Type.String(),
    uid: Nullable(Type.Integer()),
    software_version: Type.String(),
    /** Null outside a cluster. */
    role: Nullable(Role),
    failed_since_ms: Nullable(Type.Integer()),
    api_urls: Texts,
    mesh_addrs: Texts,
  }),
  bootstrap: Type.Object({
    state: Type.Enum(["idle", "initiated", "running", "error", "completed"]),
    /** Why a host that was in a cluster is `idle` again. */
    reason: Nullable(Type.String()),
    action: Nullable(Type.String()),
    started_at_ms: Nullable(Type.Integer()),
    ended_at_ms: Nullable(Type.Integer()),
    /** Of the last attempt; of a member: of the recovery that it last tried. */
    error_code: Nullable(Type.String()),
    error_details: Nullable(Type.Record(Type.String(), Type.Unknown())),
  }),
  cluster: Nullable(
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      rack_aware: Type.Boolean(),
      created_at_ms: Type.Integer(),
      incarnation: Type.Integer(),
      recovered_at_ms: Nullable(Type.Integer()),
      members: Type.Integer(),
      /** Names of the hosts that the cluster counts as failed. */
      failed: Texts,
    }),
  ),
  registry: Type.Object({
    role: Type.Enum(["leader", "follower", "candidate", "pre_candidate", "learner"]),
    term: Type.Integer(),
    /** Name of the leader's host, and its peer id. */
    leader: Nullable(Type.String()),
    leader_peer: Nullable(Type.String()),
    applied: Type.Integer(),
    commit: Type.Integer(),
    /** How old what is served here may be; null when it was never known to be new. */
    age_ms: Nullable(Type.Number()),
    /** Names of the hosts that decide, and of those that stand by. */
    voters: Texts,
    standbys: Texts,
    /** Whether a write can succeed now; else the voters that are missing, by name. */
    quorum: Type.Boolean(),
    missing: Texts,
    /** Why this agent applies nothing any more and what to do; null when all is well. */
    halted: Nullable(Type.String()),
  }),
});
export type AgentStatus = Static<typeof AgentStatus>;

/** One host in brief. */
export const HostSummary = Type.Object({
  name: Type.String(),
  uid: Nullable(Type.Integer()),
  peer: Type.String(),
  liveness: Liveness,
  failed_since_ms: Nullable(Type.Integer()),
  cores: Nullable(Type.Integer()),
  total_memory: Nullable(Type.Number()),
  free_memory: Nullable(Type.Number()),
  os_version: Nullable(Type.String()),
  software_version: Nullable(Type.String()),
  collected_at_ms: Nullable(Type.Number()),
});
export type HostSummary = Static<typeof HostSummary>;

/** GET hosts. */
export const HostList = Type.Object({ hosts: Type.Array(HostSummary) });
export type HostList = Static<typeof HostList>;

/** GET hosts/{name}: all that is known here of one host. */
export const Host = Type.Object({
  name: Type.String(),
  peer: Type.String(),
  /** The cluster's record; null before this agent is in a cluster. */
  member: Nullable(Member),
  liveness: Liveness,
  /** Since this agent last had proof of life; null for never. */
  last_seen_ms_ago: Nullable(Type.Number()),
  /** As measured from this agent; positive: the other clock is ahead. */
  rtt_ms: Nullable(Type.Number()),
  clock_offset_ms: Nullable(Type.Number()),
  /** Its clock is so far off that an operator should look. */
  clock_alarm: Type.Boolean(),
  /** Which report this is: (starts of its agent, count since). */
  version: Nullable(Type.Object({ incarnation: Type.Integer(), count: Type.Integer() })),
  /** Null when nothing has been heard of that host yet. */
  facts: Nullable(HostFacts),
});
export type Host = Static<typeof Host>;

/**
 * GET events, event `changes`: what one index of the log changed. The event's id is the index, stamped with the history that it
 * belongs to; a reader that comes back with it as Last-Event-ID, to whichever agent, misses nothing and sees nothing twice.
 */
export const ChangesEvent = Type.Object({
  index: Type.Integer(),
  at_ms: Type.Integer(),
  changes: Type.Array(
    Type.Object({ topic: Type.String(), op: Type.Enum(["set", "delete"]), id: Type.String() }),
  ),
});
export type ChangesEvent = Static<typeof ChangesEvent>;

/**
 * GET events, events `start` and `reset`: changes after `index` follow. `reset`: what came before cannot be told any more;
 * read everything anew with `min_index` set to `index`, then go on.
 */
export const PositionEvent = Type.Object({ index: Type.Integer() });
export type PositionEvent = Static<typeof PositionEvent>;

/** Body of POST tokens; may be left out. `ttl_s`: seconds until the token is of no use any more, a day when left out. */
export const TokenRequest = Type.Union([
  Type.Object(
    {
      ttl_s: Type.Optional(Type.Integer({ minimum: 1, maximum: TOKEN_TTL_MS_MAX / 1000 })),
      note: Type.Optional(Type.String({ maxLength: TOKEN_NOTE_CHARS_MAX })),
    },
    { additionalProperties: false },
  ),
  Type.Null(),
]);

/** Answer of POST tokens. `token` lets one host join, and is told this once. */
export const NewJoinToken = Type.Object({
  id: Type.String(),
  token: Type.String(),
  expires_at_ms: Type.Integer(),
});
export type NewJoinToken = Static<typeof NewJoinToken>;

/** What has become of one join token. */
export const JoinToken = Type.Object({
  id: Type.String(),
  note: Type.String(),
  created_by: Type.String(),
  created_at_ms: Type.Integer(),
  expires_at_ms: Type.Integer(),
  /** Who joined with it; `name` is null when that host is no member any more. */
  used_by: Nullable(Type.Object({ peer: Type.String(), name: Nullable(Type.String()) })),
  used_at_ms: Nullable(Type.Integer()),
  state: Type.Enum(["valid", "used", "expired"]),
});
export type JoinToken = Static<typeof JoinToken>;

/** GET tokens, in order of id. */
export const JoinTokenList = Type.Object({ tokens: Type.Array(JoinToken) });
export type JoinTokenList = Static<typeof JoinTokenList>;
