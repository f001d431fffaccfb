import { assert } from "#shared/lib/assert.ts";
import type { MemberId } from "#shared/lib/ids.ts";

import { campaign, ownVoteSaved, preCampaign, stepCandidate } from "./candidate.ts";
import type { ConfigTarget } from "./config-change.ts";
import { CoreState } from "./core-state.ts";
import {
  feed,
  installSnapshot,
  onAppend,
  onHeartbeat,
  onPreVote,
  onSnapshotOffer,
  onVote,
} from "./follower.ts";
import {
  addRead,
  advanceCommit,
  changeConfig,
  flushLeader,
  leaderHasWork,
  leaderRestTicks,
  propose,
  stepLeader,
  tickLeader,
  transferTo,
} from "./leader.ts";
import type { Entry, Message, SnapshotMeta, VoterConfig } from "./messages.ts";
import { isSoleVoter } from "./quorum.ts";
import type {
  ConfigChangeResult,
  Consensus,
  CoreOptions,
  CoreStart,
  CoreStatus,
  HardState,
  ProposeResult,
  Ready,
} from "./ready.ts";

/**
 * One member's part in Raft, written from the dissertation ("Consensus: Bridging Theory and Practice", D. Ongaro, 2014);
 * section numbers in this folder are its own. This file sorts events by role and term and deals out work; what each role
 * does is in `follower.ts`, `candidate.ts` and `leader.ts`.
 */
export class RaftCore implements Consensus {
  readonly #state: CoreState;
  /** What the disk holds of term, vote and commit, or will hold once the last Ready is saved. */
  #emitted: HardState;
  #outstanding: Ready | null = null;

  constructor(options: CoreOptions, start: CoreStart) {
    this.#state = new CoreState(options, start);
    this.#emitted = start.hardState;
  }

  tick(): void {
    const state = this.#state;
    if (state.role.name === "leader") {
      tickLeader(state, state.role);
      return;
    }
    state.elapsed += 1;
    const alone = isSoleVoter(state.config, state.id) && state.role.name === "follower";
    if (state.elapsed < state.timeout && !alone) return;
    if (state.electable) preCampaign(state);
    else state.leader = null;
  }

  restTicks(): number {
    const state = this.#state;
    if (state.role.name === "leader") return leaderRestTicks(state, state.role);
    if (isSoleVoter(state.config, state.id) && state.role.name === "follower") return 0;
    if (!state.electable && state.leader === null) return Infinity;
    return Math.max(0, state.timeout - state.elapsed - 1);
  }

  step(message: Message): void {
    const state = this.#state;
    if (message.to !== state.id || message.from === state.id) return;
    if (message.type === "pre_vote") {
      onPreVote(state, message);
      return;
    }
    if (message.term < state.term) {
      this.#answerStale(message);
      return;
    }
    if (message.term > state.term) {
      // §4.2.3: whoever was cut off or removed must not depose a leader that the others hear.
      if (message.type === "vote" && !message.transfer && state.hasLiveLeader) return;
      if (message.type === "pre_vote_answer" && message.granted) return;
      state.becomeFollower(message.term, null);
    }
    this.#stepInTerm(message);
  }

  /** A sender with an older term learns the newer one, so that a deposed leader or a late candidate gives up. */
  #answerStale(message: Message): void {
    const { id, term, sendAfter } = this.#state;
    const to = message.from;
    switch (message.type) {
      case "vote":
        sendAfter.push({ type: "vote_answer", from: id, to, term, granted: false });
        return;
      case "append":
      case "snapshot":
        sendAfter.push({ type: "append_answer", from: id, to, term, ok: false, index: 0, hintTerm: 0 });
        return;
      case "heartbeat":
        sendAfter.push({ type: "heartbeat_answer", from: id, to, term, round: 0 });
        return;
      case "pre_vote_answer":
        // Its term is the voter's own; a voter that is behind may still grant.
        this.#stepInTerm(message);
        return;
      case "commit":
      case "pre_vote":
      case "vote_answer":
      case "append_answer":
      case "heartbeat_answer":
      case "timeout_now":
    }
  }

  #stepInTerm(message: Message): void {
    const state = this.#state;
    switch (message.type) {
      case "append":
      case "commit":
      case "heartbeat":
      case "snapshot":
        // Only one leader in a term: it cannot be this one unless a peer lies.
        if (state.role.name === "leader") return;
        this.#follow(message.from);
        if (message.type === "append") onAppend(state, message);
        else if (message.type === "commit") state.log.commitTo(message.commit);
        else if (message.type === "heartbeat") onHeartbeat(state, message);
        else onSnapshotOffer(state, message);
        return;
      case "vote":
        onVote(state, message);
        return;
      case "timeout_now":
        if (state.role.name !== "leader" && state.electable) campaign(state, true);
        return;
      case "pre_vote":
      case "pre_vote_answer":
      case "vote_answer":
      case "append_answer":
      case "heartbeat_answer":
        if (state.role.name === "leader") stepLeader(state, state.role, message);
        else if (state.role.name !== "follower") stepCandidate(state, state.role, message);
    }
  }

  #follow(leader: MemberId): void {
    const state = this.#state;
    if (state.role.name === "follower" && state.leader === leader) state.elapsed = 0;
    else state.becomeFollower(state.term, leader);
  }

  propose(data: readonly string[]): ProposeResult {
    const { role, leader } = this.#state;
    if (role.name !== "leader") return { ok: false, reason: "not_leader", leader };
    return propose(this.#state, role, data);
  }

  changeConfig(target: ConfigTarget): ConfigChangeResult {
    const { role } = this.#state;
    if (role.name !== "leader") return { ok: false, reason: "not_leader" };
    return changeConfig(this.#state, role, target);
  }

  transferTo(member: MemberId): boolean {
    const { role } = this.#state;
    return role.name === "leader" && transferTo(this.#state, role, member);
  }

  readIndex(context: string): boolean {
    const { role } = this.#state;
    return role.name === "leader" && addRead(role, context);
  }

  feed(entries: readonly Entry[], commit: number): "taken" | "gap" | "nothing_new" {
    return feed(this.#state, entries, commit);
  }

  installSnapshot(meta: SnapshotMeta): boolean {
    return installSnapshot(this.#state, meta);
  }

  reportUnreachable(member: MemberId): void {
    const { role } = this.#state;
    if (role.name === "leader") role.progress.get(member)?.unreachable();
  }

  compact(meta: SnapshotMeta, upTo: number): void {
    this.#state.log.compact(meta, upTo);
    this.#state.configs.compacted(meta.index);
  }

  committedFrom(index: number, maxBytes: number): readonly Entry[] | null {
    const { log } = this.#state;
    if (index < log.first) return null;
    return index > log.commit ? [] : log.batch(index, log.commit, maxBytes);
  }

  termAt(index: number): number | null {
    return this.#state.log.termAt(index);
  }

  appliedConfig(): VoterConfig {
    return this.#state.configs.at(this.#state.log.applied);
  }

  hasReady(): boolean {
    const { role, log, sendNow, sendAfter, reads, incoming } = this.#state;
    return (
      sendNow.length > 0 ||
      sendAfter.length > 0 ||
      reads.length > 0 ||
      log.hasUnsaved ||
      log.hasUnapplied ||
      log.truncateFrom !== null ||
      incoming !== (this.#outstanding?.snapshot ?? null) ||
      !this.#sameHardState() ||
      (role.name === "leader" && leaderHasWork(this.#state, role))
    );
  }

  #sameHardState(): boolean {
    const { term, vote, log } = this.#state;
    const emitted = this.#emitted;
    return term === emitted.term && vote === emitted.vote && log.commit === emitted.commit;
  }

  ready(): Ready {
    const state = this.#state;
    assert(this.#outstanding === null, "one Ready at a time");
    if (state.role.name === "leader") flushLeader(state, state.role);
    const { sendNow, sendAfter, reads, incoming: snapshot } = state;
    const { term, vote } = this.#emitted;
    const { truncateFrom, entries } = state.log.takeUnsaved();
    const promised =
      entries.length > 0 || truncateFrom !== null || state.term !== term || state.vote !== vote;
    const mustSync = promised || snapshot !== null;
    const hardState = snapshot === null && this.#sameHardState() ? null : state.hardState;
    const committed = state.log.takeUnapplied(state.appendBytesMax);
    if (hardState !== null) this.#emitted = hardState;
    state.sendNow = [];
    state.sendAfter = [];
    state.reads = [];
    this.#outstanding = {
      sendNow,
      snapshot,
      truncateFrom,
      entries,
      hardState,
      mustSync,
      sendAfter,
      committed,
      reads,
    };
    return this.#outstanding;
  }

  advance(ready: Ready): void {
    const state = this.#state;
    assert(this.#outstanding === ready, "what is advanced is the Ready that was given out");
    this.#outstanding = null;
    state.log.saved();
    if (ready.hardState !== null) state.durable = ready.hardState;
    if (ready.snapshot !== null) {
      state.log.appliedTo(ready.snapshot.index);
      state.configs.compacted(ready.snapshot.index);
      if (state.incoming === ready.snapshot) state.incoming = null;
    }
    const applied = ready.committed.at(-1);
    if (applied !== undefined) state.log.appliedTo(applied.index);
    const { role, durable } = state;
    if (role.name === "leader") advanceCommit(state, role);
    else if (role.name === "candidate" && durable.term === state.term) ownVoteSaved(state, role);
  }

  status(): CoreStatus {
    const { id, role, term, vote, leader, log, configs } = this.#state;
    const progress = new Map(
      role.name === "leader" ? [...role.progress].map(([to, p]) => [to, view(p)]) : [],
    );
    return {
      id,
      role: role.name,
      term,
      vote,
      leader,
      commit: log.commit,
      applied: log.applied,
      firstIndex: log.first,
      lastIndex: log.last,
      lastTerm: log.lastTerm,
      config: configs.current,
      configIndex: configs.currentIndex,
      transferee: role.name === "leader" ? (role.transfer?.to ?? null) : null,
      progress,
    };
  }
}

function view({ match, next, active }: { match: number; next: number; active: boolean }): {
  match: number;
  next: number;
  active: boolean;
} {
  return { match, next, active };
}
