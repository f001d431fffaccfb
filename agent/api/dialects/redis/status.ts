import { Type, type Static } from "typebox";

import type {
  BootstrapAction,
  BootstrapFailure,
  BootstrapState,
  BootstrapStepRecord,
  FailedRecovery,
} from "#shared/bootstrap/machine.ts";
import { isoSeconds, type EpochMs } from "#shared/lib/time.ts";

/** Seed 003, table "Response". */
export const STATE_WORDS = [
  "idle",
  "initiated",
  "creating_cluster",
  "recovering_cluster",
  "joining_cluster",
  "error",
  "completed",
] as const;
type StateWord = (typeof STATE_WORDS)[number];

const Step = Type.Object({
  name: Type.String(),
  state: Type.Enum(["running", "done", "failed"]),
  start_time: Type.String(),
  end_time: Type.Optional(Type.String()),
});

/** Seed 003, `bootstrap_status`. Times are whole seconds, UTC: `2014-08-29T11:19:49Z`. */
export const BootstrapStatus = Type.Object({
  state: Type.Enum([...STATE_WORDS]),
  /** Ours: why a host that was in a cluster is `idle` again. */
  reason: Type.Optional(Type.String()),
  start_time: Type.Optional(Type.String()),
  end_time: Type.Optional(Type.String()),
  error_code: Type.Optional(Type.String()),
  error_details: Type.Optional(Type.Object({ message: Type.String() }, { additionalProperties: true })),
  /** Ours: the parts of the attempt, in the order in which they began. */
  steps: Type.Optional(Type.Array(Step)),
});
export type BootstrapStatus = Static<typeof BootstrapStatus>;

/**
 * How long a member whose recovery failed goes on saying so although its cluster has a leader again: as long as somebody may still
 * poll for what became of it. Without a leader it says so until the next attempt. Milliseconds.
 */
const RECOVERY_TOLD_MS = 3_600_000;

/** What beside the state decides how it is told. */
export interface Teller {
  readonly now: EpochMs;
  readonly leaderKnown: boolean;
  readonly steps: readonly BootstrapStepRecord[];
}

const RUNNING_WORDS = {
  create_cluster: "creating_cluster",
  join_cluster: "joining_cluster",
  recover_cluster: "recovering_cluster",
} as const satisfies Record<BootstrapAction, StateWord>;

/** The state in the seed's words. A host whose recovery failed is the member it was, but who asked for it looks for `error`. */
export function wordOf(state: BootstrapState, teller: Pick<Teller, "now" | "leaderKnown">): StateWord {
  if (state.name === "running") return RUNNING_WORDS[state.action];
  return failedRecovery(state, teller) === null ? state.name : "error";
}

/** Seed 003, `bootstrap_status`. */
export function toStatus(state: BootstrapState, teller: Teller): BootstrapStatus {
  const told = { state: wordOf(state, teller) };
  const steps = teller.steps.length === 0 ? {} : { steps: teller.steps.map(toStep) };
  const recovery = failedRecovery(state, teller);
  if (recovery !== null) return { ...told, ...times(recovery), ...toError(recovery.failure), ...steps };
  switch (state.name) {
    case "idle":
      return { ...told, ...(state.reason === undefined ? {} : { reason: state.reason }), ...steps };
    case "initiated":
    case "running":
      return { ...told, start_time: isoSeconds(state.startedAt), ...steps };
    case "completed":
      return { ...told, ...times(state), ...steps };
    case "error":
      return { ...told, ...times(state), ...toError(state.failure), ...steps };
  }
}

/** A failure as the seed tells it; the facts beside the message are those of its table "Error codes". */
export function toError({ code, details }: BootstrapFailure) {
  return { error_code: code, error_details: { ...details } };
}

function failedRecovery(
  state: BootstrapState,
  { now, leaderKnown }: Pick<Teller, "now" | "leaderKnown">,
): FailedRecovery | null {
  if (state.name !== "completed" || state.recovery === undefined) return null;
  return !leaderKnown || now - state.recovery.endedAt < RECOVERY_TOLD_MS ? state.recovery : null;
}

function times({ startedAt, endedAt }: { readonly startedAt: EpochMs; readonly endedAt: EpochMs }) {
  return { start_time: isoSeconds(startedAt), end_time: isoSeconds(endedAt) };
}

function toStep({ name, state, start, end }: BootstrapStepRecord) {
  return {
    name,
    state,
    start_time: isoSeconds(start),
    ...(end === null ? {} : { end_time: isoSeconds(end) }),
  };
}
