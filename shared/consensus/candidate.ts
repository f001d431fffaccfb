import type { Campaign, CoreState } from "./core-state.ts";
import { becomeLeader } from "./leader.ts";
import type { Message } from "./messages.ts";
import { isSoleVoter, tally } from "./quorum.ts";

/** §9.6: asks whether an election could be won, without changing anybody's term. */
export function preCampaign(state: CoreState): void {
  state.role = { name: "pre_candidate", votes: new Map([[state.id, true]]) };
  state.leader = null;
  state.resetTimer();
  const { id, term, log } = state;
  for (const to of otherVoters(state)) {
    const ask = { lastIndex: log.last, lastTerm: log.lastTerm };
    state.sendAfter.push({ type: "pre_vote", from: id, to, term: term + 1, ...ask });
  }
  if (isSoleVoter(state.config, id)) campaign(state, false);
}

/**
 * §3.4: begins a new term and asks for votes. `transfer`: the old leader asked for it (§3.10).
 *
 * The own vote counts when it is on disk, like everybody else's: see `ownVoteSaved`.
 */
export function campaign(state: CoreState, transfer: boolean): void {
  state.role = { name: "candidate", votes: new Map() };
  state.leader = null;
  state.offered = 0;
  state.term += 1;
  state.vote = state.id;
  state.resetTimer();
  const { id, term, log } = state;
  for (const to of otherVoters(state)) {
    const ask = { lastIndex: log.last, lastTerm: log.lastTerm, transfer };
    state.sendAfter.push({ type: "vote", from: id, to, term, ...ask });
  }
}

function otherVoters(state: CoreState): string[] {
  const { voters, outgoing } = state.config;
  return [...new Set([...voters, ...outgoing])].filter((member) => member !== state.id);
}

/** The disk holds the vote for itself in this term. */
export function ownVoteSaved(state: CoreState, campaigning: Campaign): void {
  campaigning.votes.set(state.id, true);
  count(state, campaigning);
}

export function stepCandidate(state: CoreState, campaigning: Campaign, message: Message): void {
  if (message.type === "pre_vote_answer") {
    const current =
      campaigning.name === "pre_candidate" && (!message.granted || message.asked === state.term + 1);
    if (!current) return;
  } else if (message.type !== "vote_answer" || campaigning.name !== "candidate") {
    return;
  }
  if (!campaigning.votes.has(message.from)) campaigning.votes.set(message.from, message.granted);
  count(state, campaigning);
}

function count(state: CoreState, campaigning: Campaign): void {
  switch (tally(state.config, campaigning.votes)) {
    case "won":
      if (campaigning.name === "pre_candidate") campaign(state, false);
      else if (state.durable.term === state.term) becomeLeader(state);
      return;
    case "lost":
      state.becomeFollower(state.term, null);
      return;
    case "open":
  }
}
