import type { MemberId } from "#shared/lib/ids.ts";

import { decodeConfig } from "./config-change.ts";
import type { CoreState } from "./core-state.ts";
import type { Entry, Message, SnapshotMeta } from "./messages.ts";

type Append = Extract<Message, { type: "append" }>;
type Heartbeat = Extract<Message, { type: "heartbeat" }>;
type Offer = Extract<Message, { type: "snapshot" }>;
type VoteRequest = Extract<Message, { type: "vote" }>;
type PreVoteRequest = Extract<Message, { type: "pre_vote" }>;

/**
 * §3.3, §3.5: takes over the leader's entries, if the logs agree before them.
 *
 * Invariant: nothing committed here is ever replaced. A leader whose log contradicts it is a leftover of an older term than
 * the one that committed (this agent may have been fed); it gets no answer and will be deposed.
 */
export function onAppend(state: CoreState, message: Append): void {
  const { log } = state;
  const { prevIndex, prevTerm, entries } = message;
  const base = log.first - 1;
  if (!wellFormed(entries, prevIndex + 1, prevTerm, message.term)) return;
  const known = prevIndex < base ? null : log.termAt(prevIndex);
  if (prevIndex > log.last || (known !== null && known !== prevTerm)) {
    if (prevIndex > log.commit) rejectAppend(state, message.from, prevIndex, prevTerm);
    return;
  }
  if (!merge(state, entries)) return;
  const index = prevIndex + entries.length;
  log.commitTo(Math.min(message.commit, index));
  acknowledge(state, message.from, index);
}

/** Adds the entries that are new, replacing an uncommitted tail that differs. False: they contradict what is committed. */
function merge(state: CoreState, entries: readonly Entry[]): boolean {
  const { log } = state;
  const at = entries.findIndex((entry) => {
    const known = entry.index < log.first - 1 ? entry.term : log.termAt(entry.index);
    return entry.index > log.last || (known !== null && known !== entry.term);
  });
  const first = entries[at];
  if (first === undefined) return true;
  if (first.index <= log.commit) return false;
  if (first.index <= log.last) state.truncate(first.index);
  state.append(entries.slice(at));
  return true;
}

/** Whether the entries continue each other from an index and term on, within a term, with readable configurations. */
function wellFormed(entries: readonly Entry[], from: number, fromTerm: number, maxTerm: number): boolean {
  let term = fromTerm;
  return entries.every((entry, i) => {
    const inOrder = entry.index === from + i && entry.term >= term && entry.term <= maxTerm;
    term = entry.term;
    return inOrder && (entry.kind !== "config" || decodeConfig(entry.data) !== null);
  });
}

function acknowledge(state: CoreState, to: MemberId, index: number): void {
  const { id, term } = state;
  state.sendAfter.push({ type: "append_answer", from: id, to, term, ok: true, index, hintTerm: 0 });
}

/** Tells where the logs may still agree: skips all entries of terms the leader cannot have there (§3.3). */
function rejectAppend(state: CoreState, to: MemberId, prevIndex: number, prevTerm: number): void {
  const { id, term, log } = state;
  const index = log.lastWithTermAtMost(prevIndex, prevTerm, log.commit);
  const hintTerm = log.termAt(index) ?? 0;
  state.sendAfter.push({ type: "append_answer", from: id, to, term, ok: false, index, hintTerm });
}

export function onHeartbeat(state: CoreState, message: Heartbeat): void {
  const { id, term, log } = state;
  log.commitTo(message.commit);
  state.sendAfter.push({ type: "heartbeat_answer", from: id, to: message.from, term, round: message.round });
}

/** The driver fetches the body; here it is only noted what the leader offered, or answered that it is not needed. */
export function onSnapshotOffer(state: CoreState, message: Offer): void {
  if (message.meta.index <= state.log.commit) acknowledge(state, message.from, message.meta.index);
  else state.offered = message.meta.index;
}

/** §3.4, §3.6.1: one vote in a term, for a log at least as long, and it is on disk before the answer leaves. */
export function onVote(state: CoreState, message: VoteRequest): void {
  const { id, term, log } = state;
  const free = state.vote === message.from || (state.vote === null && state.leader === null);
  const granted = free && log.isUpToDate(message.lastIndex, message.lastTerm);
  if (granted) {
    state.vote = message.from;
    state.resetTimer();
  }
  state.sendAfter.push({ type: "vote_answer", from: id, to: message.from, term, granted });
}

/** §9.6: the answer always carries this voter's term, so that a candidate that is behind in terms catches up. */
export function onPreVote(state: CoreState, message: PreVoteRequest): void {
  const { id, term, log } = state;
  const { from: to, term: asked } = message;
  const granted = asked > term && !state.hasLiveLeader && log.isUpToDate(message.lastIndex, message.lastTerm);
  state.sendAfter.push({ type: "pre_vote_answer", from: id, to, term, granted, asked });
}

/**
 * Committed entries from any member. They may raise the term, for no member has voted in a term above its own; they never
 * lower the commit index. Pull from `commit + 1`: above it this log may hold what was never committed, and only entries that
 * begin there can overrule it.
 */
export function feed(
  state: CoreState,
  entries: readonly Entry[],
  commit: number,
): "taken" | "gap" | "nothing_new" {
  const { log } = state;
  const first = entries[0];
  const committed = entries.filter((entry) => entry.index <= commit);
  const last = committed.at(-1);
  if (first === undefined || last === undefined || last.index <= log.commit) return "nothing_new";
  if (first.index > log.commit + 1) return "gap";
  if (!wellFormed(committed, first.index, first.term, Number.MAX_SAFE_INTEGER)) return "nothing_new";
  const lastBefore = log.last;
  const news = committed.filter((entry) => entry.index > log.commit);
  const differs = news.some((entry) => entry.index <= lastBefore && log.termAt(entry.index) !== entry.term);
  if (last.term > state.term) state.becomeFollower(last.term, null);
  // A campaign was judged by a log that turns out not to be the cluster's, and a leader of such a log is a leftover.
  else if (differs && state.role.name !== "follower") state.becomeFollower(state.term, null);
  if (!merge(state, news)) return "nothing_new";
  log.commitTo(last.index);
  return "taken";
}

/** A snapshot's body is here. False: the log already reaches as far, or has just been told that it does. */
export function installSnapshot(state: CoreState, meta: SnapshotMeta): boolean {
  const { log } = state;
  if (meta.index <= log.commit) return false;
  const offered = Math.min(state.offered, meta.index);
  const known = log.termAt(meta.index) === meta.term;
  if (meta.term > state.term) state.becomeFollower(meta.term, null);
  else if (!known && state.role.name !== "follower") state.becomeFollower(state.term, null);
  if (known) {
    log.commitTo(meta.index);
  } else {
    state.configs.truncated(log.commit + 1);
    state.configs.restored(meta.index, meta.config);
    log.restore(meta);
    state.incoming = meta;
  }
  // Both logs hold the committed prefix up to what the leader offered; beyond it nothing is promised.
  if (state.leader !== null && offered > 0) acknowledge(state, state.leader, offered);
  return !known;
}
