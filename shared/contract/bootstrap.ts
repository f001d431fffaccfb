import { Type, type Static } from "typebox";

// What the command line reads of the answers under /v1/bootstrap, which docs/api/redis.md describes. Loose on purpose: a word or a
// step that is not known here is shown as it came.

const Step = Type.Object({
  name: Type.String(),
  /** `running`, `done`, `failed`. */
  state: Type.String(),
  start_time: Type.Optional(Type.String()),
  end_time: Type.Optional(Type.String()),
});
export type BootstrapStep = Static<typeof Step>;

const ErrorDetails = Type.Object({
  message: Type.Optional(Type.String()),
  /** Of repair_required: whose place this host could take. */
  replace_candidate: Type.Optional(Type.Integer()),
});

/** GET /v1/bootstrap. Times are whole seconds, UTC. */
export const BootstrapAnswer = Type.Object({
  bootstrap_status: Type.Object({
    state: Type.String(),
    reason: Type.Optional(Type.String()),
    start_time: Type.Optional(Type.String()),
    end_time: Type.Optional(Type.String()),
    error_code: Type.Optional(Type.String()),
    error_details: Type.Optional(ErrorDetails),
    steps: Type.Optional(Type.Array(Step)),
  }),
  local_node_info: Type.Optional(
    Type.Object({ uid: Type.Optional(Type.Union([Type.Integer(), Type.Null()])) }),
  ),
});
export type BootstrapAnswer = Static<typeof BootstrapAnswer>;

/** Body of every error there. */
export const BootstrapRefusal = Type.Object({
  error_code: Type.String(),
  description: Type.Optional(Type.String()),
  error_details: Type.Optional(ErrorDetails),
});

const Copy = Type.Object({
  /** `store`, `file`, `agent`. */
  source: Type.String(),
  where: Type.String(),
  cluster_id: Type.String(),
  cluster_name: Type.String(),
  incarnation: Type.Integer(),
  term: Type.Integer(),
  index: Type.Integer(),
  /** Of its last entry, by the log's own time; whole seconds, UTC. */
  time: Type.String(),
  /** Milliseconds since its holder last knew that it had everything; null when it never did. */
  age_ms: Type.Union([Type.Number(), Type.Null()]),
});
export type RecoveryCopy = Static<typeof Copy>;

/** POST /v1/bootstrap/validate/recover_cluster: what the recovery would do. */
export const RecoveryOutline = Type.Object({
  /** Best first. */
  candidates: Type.Array(Copy),
  chosen: Copy,
  incarnation: Type.Integer(),
  uid: Type.Integer(),
  rejoin: Type.Array(Type.Object({ uid: Type.Integer(), name: Type.String() })),
  unreachable: Type.Array(Type.Object({ address: Type.String(), cause: Type.String() })),
  losses: Type.Array(Type.String()),
});
export type RecoveryOutline = Static<typeof RecoveryOutline>;
