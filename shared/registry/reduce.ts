import { assert } from "#shared/lib/assert.ts";
import { LOG_LEAP_MS_MAX } from "#shared/lib/limits.ts";
import { epochMs } from "#shared/lib/time.ts";
import type { Command, CommandType, Envelope } from "#shared/registry/command.ts";
import { decodeCommand } from "#shared/registry/decode.ts";
import { digest } from "#shared/registry/digest.ts";
import { emptyFingerprint, lengthenChain, remark } from "#shared/registry/fingerprint.ts";
import { recallKey, rememberKey, scopedKey } from "#shared/registry/keys.ts";
import { configureCluster, createCluster } from "#shared/registry/reducers/cluster.ts";
import {
  activateMember,
  addMember,
  configureMember,
  removeMember,
  setFailed,
  updateMember,
} from "#shared/registry/reducers/member.ts";
import { registerNode, unregisterNode, updateNode } from "#shared/registry/reducers/node.ts";
import { refuse, type Outcome, type Reducer } from "#shared/registry/reducers/outcome.ts";
import { createToken, revokeToken } from "#shared/registry/reducers/token.ts";
import { createUser, deleteUser, updateUser } from "#shared/registry/reducers/user.ts";
import { createZone, deleteZone, renameZone, setWeights } from "#shared/registry/reducers/zone.ts";
import { takeTurn } from "#shared/registry/sessions.ts";
import { versionOf, versionsAfter } from "#shared/registry/versions.ts";
import type { Change, CommandResult, RegistryState } from "#shared/registry/state.ts";

/** An entry of the replicated log, as the domain sees it (consensus has the same shape). */
export interface LogEntry {
  readonly index: number;
  readonly term: number;
  readonly kind: "noop" | "command" | "config";
  /** An Envelope in JSON, for a `command`. */
  readonly data: string;
}

/** What one entry did. */
export interface Applied {
  /** Null for entries without a command, and for one whose envelope cannot be read. */
  readonly envelope: Envelope | null;
  readonly result: CommandResult | null;
  readonly changes: readonly Change[];
  /** The result was given before, for the same command or idempotency key; nothing changed now. */
  readonly repeated: boolean;
  /** Index of the entry that took effect: an earlier one when a command or its key is repeated, else this entry's own. */
  readonly effectIndex: number;
  /** Set when this version cannot apply the entry: what happened and what to do. The state has not moved. */
  readonly halted: string | null;
}

/** The state before the first entry. */
export function emptyState(): RegistryState {
  return {
    index: 0,
    term: 0,
    at: epochMs(0),
    elapsedMs: 0,
    cluster: null,
    members: new Map(),
    tombstones: new Map(),
    nextUid: 1,
    zones: new Map(),
    nextZoneId: 1,
    weights: {},
    nodes: new Map(),
    users: new Map(),
    nextUserUid: 1,
    tokens: new Map(),
    sessions: new Map(),
    keys: new Map(),
    versions: new Map(),
    topicVersions: { cluster: 0, members: 0, zones: 0, weights: 0, nodes: 0, users: 0, tokens: 0 },
    fingerprint: emptyFingerprint(),
  };
}

const REDUCERS: { readonly [T in CommandType]: Reducer<T> } = {
  "cluster.create": createCluster,
  "member.add": addMember,
  "member.activate": activateMember,
  "member.update": updateMember,
  "member.configure": configureMember,
  "member.set_failed": setFailed,
  "member.remove": removeMember,
  "cluster.configure": configureCluster,
  "user.create": createUser,
  "user.update": updateUser,
  "user.delete": deleteUser,
  "token.create": createToken,
  "token.revoke": revokeToken,
  "zone.create": createZone,
  "zone.rename": renameZone,
  "zone.delete": deleteZone,
  "zones.set_weights": setWeights,
  "node.register": registerNode,
  "node.update": updateNode,
  "node.unregister": unregisterNode,
};

/**
 * Applies the next committed entry, in place. Deterministic: agents that applied the same entries hold equal states and gave
 * equal answers. Throws only when entries are skipped, which is a defect of the caller.
 */
export function applyEntry(state: RegistryState, entry: LogEntry): Applied {
  assert(entry.index === state.index + 1, "entries are applied one by one, in order");
  const applied = take(state, entry);
  if (applied.halted === null) lengthenChain(state, applied.result);
  return applied;
}

function take(state: RegistryState, entry: LogEntry): Applied {
  if (entry.kind !== "command") {
    advance(state, entry);
    return { ...NOTHING, effectIndex: entry.index };
  }
  const decoded = decodeCommand(entry.data);
  if (decoded.kind === "unknown") {
    const halted = `entry ${entry.index} is ${decoded.name}, which this version does not know; upgrade this agent`;
    return { ...NOTHING, envelope: decoded.envelope, effectIndex: state.index, halted };
  }
  advance(state, entry);
  if (decoded.kind === "bad_envelope") {
    const result: CommandResult = { ok: false, refusal: { kind: "bad_request", facts: decoded.bad } };
    return { ...NOTHING, result, effectIndex: entry.index };
  }
  const { envelope } = decoded;
  const passedMs = Math.max(0, envelope.at - state.at);
  state.at = epochMs(state.at + passedMs);
  state.elapsedMs += Math.min(passedMs, LOG_LEAP_MS_MAX);
  const answered = { ...NOTHING, envelope, effectIndex: entry.index };

  const turn = takeTurn(state, envelope);
  if (turn.kind === "expired") {
    return { ...answered, result: { ok: false, refusal: { kind: "request_expired", facts: {} } } };
  }
  if (turn.kind === "repeated") {
    const { index, result } = turn.answer;
    return { ...answered, result, effectIndex: index, repeated: true };
  }

  const effect: Effect =
    decoded.kind === "bad_command"
      ? { result: { ok: false, refusal: { kind: "bad_request", facts: decoded.bad } } }
      : once(state, envelope, decoded.command);
  const applied = { ...answered, ...effect };
  turn.session.results.set(envelope.seq, { index: applied.effectIndex, result: effect.result });
  return applied;
}

type Effect = { readonly result: CommandResult } & Partial<
  Pick<Applied, "changes" | "repeated" | "effectIndex">
>;

const NOTHING = { envelope: null, result: null, changes: [], repeated: false, halted: null } as const;

function advance(state: RegistryState, entry: LogEntry): void {
  state.index = entry.index;
  state.term = entry.term;
}

/** Runs the command, unless its idempotency key was answered before. */
function once(state: RegistryState, envelope: Envelope, command: Command): Effect {
  if (envelope.key === undefined) return run(state, envelope, command);
  const scoped = scopedKey(envelope.by, envelope.key);
  const asked = digest(envelope.expect === undefined ? command : { command, expect: envelope.expect });
  const known = recallKey(state, scoped);
  if (known?.digest === asked) return { result: known.result, repeated: true, effectIndex: known.index };
  if (known !== undefined) {
    const facts = { key: envelope.key };
    return { result: { ok: false, refusal: { kind: "idempotency_key_reused", facts } } };
  }
  const effect = run(state, envelope, command);
  rememberKey(state, scoped, {
    digest: asked,
    index: state.index,
    elapsedMs: state.elapsedMs,
    result: effect.result,
  });
  return effect;
}

function run(state: RegistryState, { expect }: Envelope, command: Command): Effect {
  const { index, at } = state;
  if (expect !== undefined && versionOf(state, expect.topic, expect.id) !== expect.version) {
    const { refusal } = refuse("precondition_failed", { what: `${expect.topic} ${expect.id}`.trimEnd() });
    return { result: { ok: false, refusal } };
  }
  // The table's type pairs each command with its reducer; TypeScript cannot follow that through one variable.
  const reducer = REDUCERS[command.type] as (...args: Parameters<Reducer<never>>) => Outcome;
  const outcome = reducer(state, command as never, { index, at });
  if (!outcome.ok) return { result: outcome };
  versionsAfter(state, outcome.touched);
  remark(state, outcome.touched);
  const changes = outcome.touched.map((touched): Change => ({ index, at, ...touched }));
  return { result: { ok: true, value: outcome.value }, changes };
}
