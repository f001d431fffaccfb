import { assert } from "#shared/lib/assert.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { APPEND_BYTES_MAX, INDEX_WAITERS_MAX, UNCOMMITTED_BYTES_MAX } from "#shared/lib/limits.ts";

import { type ConfigTarget, encodeConfig, planChange, settled } from "./config-change.ts";
import type { CoreState, Leadership } from "./core-state.ts";
import type { Entry, Message, VoterConfig } from "./messages.ts";
import { Progress } from "./progress.ts";
import { isJoint, quorumReached } from "./quorum.ts";
import { ReadQueue } from "./reads.ts";
import type { ConfigChangeResult, ProposeResult } from "./ready.ts";

/** The election is won: takes over and appends the no-op that lets older entries commit (§3.6.2). */
export function becomeLeader(state: CoreState): void {
  assert(state.role.name === "candidate", "only a candidate becomes leader");
  assert(state.durable.term === state.term, "a leader's term is on its disk before it sends anything");
  const lead: Leadership = {
    name: "leader",
    progress: new Map(),
    reads: new ReadQueue(),
    transfer: null,
    ticksSinceHeartbeat: 0,
    heartbeatDue: true,
  };
  state.role = lead;
  state.leader = state.id;
  state.resetTimer();
  followConfig(state, lead, false);
  appendOwn(state, "noop", [""]);
}

function appendOwn(state: CoreState, kind: Entry["kind"], data: readonly string[]): void {
  const { log, term } = state;
  state.append(data.map((text, i): Entry => ({ index: log.last + 1 + i, term, kind, data: text })));
}

/** Keeps one progress for every other member of the newest configuration. */
function followConfig(state: CoreState, lead: Leadership, active: boolean): void {
  const { voters, outgoing, learners } = state.config;
  const members = new Set([...voters, ...outgoing, ...learners]);
  members.delete(state.id);
  for (const member of lead.progress.keys()) if (!members.has(member)) lead.progress.delete(member);
  for (const member of members) {
    if (!lead.progress.has(member)) lead.progress.set(member, new Progress(state.log.last + 1, active));
  }
}

export function tickLeader(state: CoreState, lead: Leadership): void {
  lead.ticksSinceHeartbeat += 1;
  if (lead.ticksSinceHeartbeat >= state.options.heartbeatTicks) {
    lead.ticksSinceHeartbeat = 0;
    lead.heartbeatDue = true;
  }
  if (lead.transfer !== null) {
    lead.transfer.ticks += 1;
    if (lead.transfer.ticks >= state.options.electionTicks) lead.transfer = null;
  }
  state.elapsed += 1;
  if (state.elapsed >= state.options.electionTicks) checkQuorum(state, lead);
}

/** Ticks before the next one that brings a heartbeat, a look at the quorum or the end of a transfer. */
export function leaderRestTicks(state: CoreState, lead: Leadership): number {
  const { heartbeatTicks, electionTicks } = state.options;
  const due = Math.min(heartbeatTicks - lead.ticksSinceHeartbeat, electionTicks - state.elapsed);
  return Math.min(due, lead.transfer === null ? due : electionTicks - lead.transfer.ticks) - 1;
}

/**
 * §6.2: a leader that has not heard from a majority within an election timeout steps down, so that clients look elsewhere.
 * The same beat gives up waiting for snapshots: the follower is told again.
 */
function checkQuorum(state: CoreState, lead: Leadership): void {
  state.elapsed = 0;
  const heard = quorumReached(state.config, (member) =>
    member === state.id || lead.progress.get(member)?.active === true ? 1 : 0,
  );
  if (heard === 0) {
    state.becomeFollower(state.term, null);
    return;
  }
  for (const progress of lead.progress.values()) {
    progress.active = false;
    if (progress.state === "snapshot") progress.probe(progress.match + 1);
  }
}

export function stepLeader(state: CoreState, lead: Leadership, message: Message): void {
  const progress = lead.progress.get(message.from);
  if (progress === undefined) return;
  if (message.type === "heartbeat_answer") {
    // A round that was never sent proves nothing, and must not answer reads to come.
    if (message.round > lead.reads.round) return;
    progress.heartbeatAnswered(message.round, state.log.last);
    settleReads(state, lead);
    // The request to campaign may have been lost; one that comes twice finds a later term and is ignored.
    if (lead.transfer?.to === message.from) sendTimeoutNow(state, lead);
    return;
  }
  if (message.type !== "append_answer" || message.index > state.log.last) return;
  progress.active = true;
  if (message.ok) {
    if (progress.acknowledged(message.index, state.log.first)) advanceCommit(state, lead);
    if (lead.transfer?.to === message.from) sendTimeoutNow(state, lead);
  } else {
    const { log } = state;
    // Down to one below what can still be compared here: there, only the snapshot helps.
    progress.rejected(log.lastWithTermAtMost(message.index, message.hintTerm, log.first - 2));
  }
}

/**
 * Commits what a majority holds durably, its own disk included. Only an entry of the current term commits by counting; what
 * comes before it commits with it (§3.6.2, figure 3.7).
 */
export function advanceCommit(state: CoreState, lead: Leadership): void {
  const { log } = state;
  const reached = quorumReached(state.config, (member) =>
    member === state.id ? log.durable : (lead.progress.get(member)?.match ?? 0),
  );
  if (reached <= log.commit || log.termAt(reached) !== state.term || !log.commitTo(reached)) return;
  if (state.configs.currentIndex > log.commit) return;
  if (isJoint(state.config)) {
    adoptConfig(state, lead, settled(state.config));
  } else if (!state.config.voters.includes(state.id)) {
    handOver(state, lead);
  }
}

/**
 * §4.2.2: the configuration without this leader is committed, so it steps down; and because its followers would wait for a
 * whole election timeout, it asks the one that is furthest to campaign at once (§3.10).
 */
function handOver(state: CoreState, lead: Leadership): void {
  flushLeader(state, lead);
  const match = (member: MemberId): number => lead.progress.get(member)?.match ?? 0;
  const heir = [...state.config.voters].sort((a, b) => match(b) - match(a))[0];
  assert(heir !== undefined, "a configuration has voters");
  state.sendNow.push({ type: "timeout_now", from: state.id, to: heir, term: state.term });
  state.becomeFollower(state.term, null);
}

function adoptConfig(state: CoreState, lead: Leadership, config: VoterConfig): void {
  appendOwn(state, "config", [encodeConfig(config)]);
  followConfig(state, lead, true);
  advanceCommit(state, lead);
}

export function propose(state: CoreState, lead: Leadership, data: readonly string[]): ProposeResult {
  if (lead.transfer !== null) return { ok: false, reason: "transferring", leader: state.id };
  let bytes = 0;
  for (const text of data) {
    assert(text.length <= APPEND_BYTES_MAX, "a command fits into one append");
    bytes += text.length;
  }
  const { uncommittedBytes } = state.log;
  if (uncommittedBytes > 0 && uncommittedBytes + bytes > UNCOMMITTED_BYTES_MAX) {
    return { ok: false, reason: "overloaded", leader: state.id };
  }
  const index = state.log.last + 1;
  appendOwn(state, "command", data);
  return { ok: true, index, term: state.term };
}

/** §4.1 with the correction of 2015: no change before an entry of this leader's own term is committed. */
export function changeConfig(state: CoreState, lead: Leadership, target: ConfigTarget): ConfigChangeResult {
  const { log, configs } = state;
  if (lead.transfer !== null) return { ok: false, reason: "transferring" };
  if (log.termAt(log.commit) !== state.term) return { ok: false, reason: "no_entry_of_this_term_committed" };
  if (configs.currentIndex > log.commit || isJoint(configs.current)) {
    return { ok: false, reason: "change_in_progress" };
  }
  const next = planChange(configs.current, target);
  if (next === "no_voters" || next === "unchanged") return { ok: false, reason: next };
  const index = log.last + 1;
  adoptConfig(state, lead, next);
  return { ok: true, index };
}

export function transferTo(state: CoreState, lead: Leadership, member: MemberId): boolean {
  const progress = lead.progress.get(member);
  if (progress === undefined || !state.config.voters.includes(member) || progress.state === "snapshot")
    return false;
  if (lead.transfer?.to === member) return true;
  lead.transfer = { to: member, ticks: 0 };
  sendTimeoutNow(state, lead);
  return true;
}

/** §3.10: once the heir has the whole log, it may campaign without waiting. */
function sendTimeoutNow(state: CoreState, lead: Leadership): void {
  if (lead.transfer === null) return;
  const { to } = lead.transfer;
  if (lead.progress.get(to)?.match !== state.log.last) return;
  state.sendNow.push({ type: "timeout_now", from: state.id, to, term: state.term });
}

/** False when too many readers wait already. */
export function addRead(lead: Leadership, context: string): boolean {
  if (lead.reads.size >= INDEX_WAITERS_MAX) return false;
  lead.reads.add(context);
  return true;
}

/** §6.4 step 1: until an entry of its own term is committed, a new leader does not know the newest commit index. */
function canOpenReads(state: CoreState, lead: Leadership): boolean {
  return lead.reads.hasWaiting && state.log.termAt(state.log.commit) === state.term;
}

function settleReads(state: CoreState, lead: Leadership): void {
  if (lead.reads.size === 0) return;
  const proved = quorumReached(state.config, (member) =>
    member === state.id ? lead.reads.round : (lead.progress.get(member)?.round ?? 0),
  );
  for (const { contexts, index } of lead.reads.settle(proved)) {
    for (const context of contexts) state.reads.push({ context, index });
  }
}

function wantsAppend(state: CoreState, progress: Progress): boolean {
  return !progress.paused && (progress.nudge || progress.next <= state.log.last);
}

/** What may be committed at a follower: no more than what is known to be there. */
function commitAt(state: CoreState, progress: Progress): number {
  return Math.min(progress.match, state.log.commit);
}

/** Whether `flushLeader` would produce something. */
export function leaderHasWork(state: CoreState, lead: Leadership): boolean {
  if (lead.heartbeatDue || canOpenReads(state, lead)) return true;
  for (const progress of lead.progress.values()) {
    if (wantsAppend(state, progress) || progress.toldCommit < commitAt(state, progress)) return true;
  }
  return false;
}

/** Turns what followers lack into messages, as late as possible so that proposals share them. */
export function flushLeader(state: CoreState, lead: Leadership): void {
  const { log, id, term } = state;
  if (canOpenReads(state, lead)) {
    lead.reads.open(log.commit);
    lead.heartbeatDue = true;
    settleReads(state, lead);
  }
  for (const [to, progress] of lead.progress) {
    const commit = commitAt(state, progress);
    if (lead.heartbeatDue) {
      state.sendNow.push({ type: "heartbeat", from: id, to, term, commit, round: lead.reads.round });
      progress.toldCommit = Math.max(progress.toldCommit, commit);
    }
    while (wantsAppend(state, progress)) sendAppend(state, to, progress);
    if (progress.toldCommit < commit) {
      state.sendNow.push({ type: "commit", from: id, to, term, commit });
      progress.toldCommit = commit;
    }
  }
  lead.heartbeatDue = false;
}

function sendAppend(state: CoreState, to: MemberId, progress: Progress): void {
  const { log, id, term } = state;
  const prevIndex = progress.next - 1;
  const prevTerm = log.termAt(prevIndex);
  if (prevTerm === null) {
    assert(log.snapshot !== null, "what is forgotten is in a snapshot");
    state.sendNow.push({ type: "snapshot", from: id, to, term, meta: log.snapshot });
    progress.awaitSnapshot();
    return;
  }
  const entries = log.batch(progress.next, log.last, state.appendBytesMax);
  state.sendNow.push({
    type: "append",
    from: id,
    to,
    term,
    prevIndex,
    prevTerm,
    entries,
    commit: log.commit,
  });
  progress.toldCommit = log.commit;
  progress.sent(entries);
}
