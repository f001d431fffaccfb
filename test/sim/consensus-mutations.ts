/** One deliberate mistake: replacements of text that occurs exactly once in its file. */
export interface Mutation {
  readonly name: string;
  readonly edits: readonly { readonly file: string; readonly find: string; readonly put: string }[];
}

function edit(file: string, find: string, put: string): Mutation["edits"][number] {
  return { file: `shared/consensus/${file}`, find, put };
}

/** Mistakes that people have made in Raft, each of which some test must notice. `docs/TESTING.md` tells which ones do. */
export const CONSENSUS_MUTATIONS: readonly Mutation[] = [
  {
    name: "votes twice in a term",
    edits: [
      edit(
        "follower.ts",
        "const free = state.vote === message.from || (state.vote === null && state.leader === null);",
        "const free = true;",
      ),
    ],
  },
  {
    name: "forgets its vote at a restart",
    edits: [edit("core-state.ts", "known === hardState.term ? hardState.vote : null;", "null;")],
  },
  {
    name: "votes for a log that is behind",
    edits: [
      edit(
        "log.ts",
        "return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.last);",
        "return lastTerm + lastIndex >= 0;",
      ),
    ],
  },
  {
    name: "commits an entry of an older term by counting",
    edits: [
      edit(
        "leader.ts",
        "reached <= log.commit || log.termAt(reached) !== state.term ||",
        "reached <= log.commit ||",
      ),
    ],
  },
  {
    name: "promises before the disk has it (skips the fsync)",
    edits: [
      edit(
        "core.ts",
        "const { sendNow, sendAfter, reads, incoming: snapshot } = state;",
        "const { reads, incoming: snapshot } = state;\n    const sendNow = [...state.sendNow, ...state.sendAfter];\n    const sendAfter: Message[] = [];",
      ),
    ],
  },
  {
    name: "the leader counts its own entries before they are on its disk",
    edits: [edit("leader.ts", "member === state.id ? log.durable :", "member === state.id ? log.last :")],
  },
  {
    name: "the candidate counts its own vote before it is on its disk",
    edits: [
      edit(
        "candidate.ts",
        "if (isSoleVoter(state.config, id)) campaign(state, false);",
        "if (!isSoleVoter(state.config, id)) return;\n  campaign(state, false);\n  becomeLeader(state);",
      ),
      edit(
        "leader.ts",
        '  assert(state.durable.term === state.term, "a leader\'s term is on its disk before it sends anything");\n',
        "",
      ),
    ],
  },
  {
    name: "truncates what is committed",
    edits: [
      edit("follower.ts", "  if (first.index <= log.commit) return false;\n", ""),
      edit("log.ts", '    assert(from > this.#commit, "a committed entry is never removed");\n', ""),
    ],
  },
  {
    name: "a truncation forgets that older entries are still being saved",
    edits: [edit("log.ts", "    this.#saving = Math.min(this.#saving, from - 1);\n", "")],
  },
  {
    name: "a truncation does not reach the disk",
    edits: [
      edit(
        "log.ts",
        "this.#truncateFrom = Math.min(this.#truncateFrom ?? from, from);",
        "this.#truncateFrom = null;",
      ),
    ],
  },
  {
    name: "acknowledges its whole log instead of what was compared",
    edits: [
      edit(
        "follower.ts",
        "  acknowledge(state, message.from, index);\n}",
        "  acknowledge(state, message.from, log.last);\n}",
      ),
    ],
  },
  {
    name: "commits entries that were not compared with the leader's",
    edits: [
      edit("follower.ts", "log.commitTo(Math.min(message.commit, index));", "log.commitTo(message.commit);"),
    ],
  },
  {
    name: "heartbeats and commit notices go beyond what the follower matches",
    edits: [
      edit("leader.ts", "return Math.min(progress.match, state.log.commit);", "return state.log.commit;"),
    ],
  },
  {
    name: "a feed lowers the commit index",
    edits: [
      edit(
        "follower.ts",
        "last === undefined || last.index <= log.commit) return",
        "last === undefined) return",
      ),
      edit("log.ts", "if (next <= this.#commit) return false;", "if (next === this.#commit) return false;"),
    ],
  },
  {
    name: "a feed continues an uncommitted tail without proof",
    edits: [
      edit(
        "follower.ts",
        'if (first.index > log.commit + 1) return "gap";',
        'if (first.index > log.last + 1) return "gap";',
      ),
    ],
  },
  {
    name: "acknowledges a foreign snapshot in full",
    edits: [
      edit(
        "follower.ts",
        "const offered = Math.min(state.offered, meta.index);",
        "const offered = meta.index;",
      ),
    ],
  },
  {
    name: "answers reads without a heartbeat round",
    edits: [
      edit("leader.ts", "lead.reads.settle(proved)", "lead.reads.settle(Math.max(proved, lead.reads.round))"),
    ],
  },
  {
    name: "answers reads before an entry of its own term is committed",
    edits: [
      edit(
        "leader.ts",
        "return lead.reads.hasWaiting && state.log.termAt(state.log.commit) === state.term;",
        "return lead.reads.hasWaiting && state.term > 0;",
      ),
    ],
  },
  {
    name: "changes the configuration while another change is not committed",
    edits: [
      edit(
        "leader.ts",
        "if (configs.currentIndex > log.commit || isJoint(configs.current)) {",
        "if (isJoint(configs.current)) {",
      ),
    ],
  },
  {
    name: "changes the configuration before an entry of its own term is committed",
    edits: [
      edit(
        "leader.ts",
        "if (log.termAt(log.commit) !== state.term) return {",
        "if (state.term === 0) return {",
      ),
    ],
  },
  {
    name: "changes many voters in one step",
    edits: [edit("config-change.ts", "added + removed > 1 ?", "added + removed > 100 ?")],
  },
  {
    name: "a joint configuration commits with the new majority alone",
    edits: [
      edit(
        "quorum.ts",
        "return isJoint(config) ? Math.min(incoming, majorityReached(config.outgoing, reached)) : incoming;",
        "return incoming;",
      ),
    ],
  },
  {
    name: "a joint configuration elects with the new majority alone",
    edits: [
      edit(
        "quorum.ts",
        "if (!isJoint(config)) return incoming;",
        "if (config.voters.length > 0) return incoming;",
      ),
    ],
  },
  {
    name: "leaves the joint configuration before it is committed",
    edits: [edit("leader.ts", "  if (state.configs.currentIndex > log.commit) return;\n", "")],
  },
  {
    name: "keeps a configuration whose entry was truncated",
    edits: [edit("core-state.ts", "    this.configs.truncated(from);\n", "")],
  },
  {
    name: "a leaving voter does not campaign though it is still needed",
    edits: [
      edit(
        "core-state.ts",
        "const voter = isVoter(this.config, this.id) ||",
        "const voter = isVoter(this.config, this.id) &&",
      ),
    ],
  },
  {
    name: "a candidate does not learn the term of a refused pre-vote (dead-lock)",
    edits: [
      edit(
        "core.ts",
        'message.type === "pre_vote_answer" && message.granted) return;',
        'message.type === "pre_vote_answer") return;',
      ),
    ],
  },
  {
    name: "votes against a live leader",
    edits: [
      edit(
        "core.ts",
        '      if (message.type === "vote" && !message.transfer && state.hasLiveLeader) return;\n',
        "",
      ),
      edit("follower.ts", "asked > term && !state.hasLiveLeader &&", "asked > term &&"),
    ],
  },
  {
    name: "a leader without a majority stays",
    edits: [edit("leader.ts", "if (heard === 0) {", "if (heard < 0) {")],
  },
  {
    name: "lost appends are not sent again",
    edits: [edit("progress.ts", "    if (this.match < last) this.nudge = true;\n", "")],
  },
  {
    name: "a lost snapshot message is not sent again",
    edits: [
      edit("leader.ts", '    if (progress.state === "snapshot") progress.probe(progress.match + 1);\n', ""),
    ],
  },
  {
    name: "hands over before the heir has the whole log",
    edits: [edit("leader.ts", "  if (lead.progress.get(to)?.match !== state.log.last) return;\n", "")],
  },
  {
    name: "a lost request to campaign is not repeated",
    edits: [
      edit(
        "leader.ts",
        "    // The request to campaign may have been lost; one that comes twice finds a later term and is ignored.\n    if (lead.transfer?.to === message.from) sendTimeoutNow(state, lead);\n",
        "",
      ),
    ],
  },
  {
    name: "takes writes while it hands over",
    edits: [
      edit(
        "leader.ts",
        '  if (lead.transfer !== null) return { ok: false, reason: "transferring", leader: state.id };\n',
        "",
      ),
    ],
  },
  {
    name: "changes members while it hands over",
    edits: [
      edit("leader.ts", '  if (lead.transfer !== null) return { ok: false, reason: "transferring" };\n', ""),
    ],
  },
  {
    name: "a transfer is never given up",
    edits: [
      edit(
        "leader.ts",
        "    if (lead.transfer.ticks >= state.options.electionTicks) lead.transfer = null;\n",
        "",
      ),
    ],
  },
  {
    name: "asking again prolongs a transfer",
    edits: [edit("leader.ts", "  if (lead.transfer?.to === member) return true;\n", "")],
  },
  {
    name: "hands over to a learner",
    edits: [edit("leader.ts", "!state.config.voters.includes(member) ||", "state.id === member ||")],
  },
  {
    name: "whoever is told to campaigns, voter or not",
    edits: [
      edit(
        "core.ts",
        'if (state.role.name !== "leader" && state.electable) campaign(state, true);',
        'if (state.role.name !== "leader") campaign(state, true);',
      ),
    ],
  },
  {
    name: "only one that knows itself to be a voter votes",
    edits: [
      edit(
        "follower.ts",
        "const granted = free && log.isUpToDate",
        "const granted = free && state.electable && log.isUpToDate",
      ),
    ],
  },
  {
    name: "a joint configuration of an earlier leader is not left",
    edits: [
      edit(
        "leader.ts",
        "  if (isJoint(state.config)) {\n",
        "  if (isJoint(state.config) && log.termAt(state.configs.currentIndex) === state.term) {\n",
      ),
    ],
  },
  {
    name: "a leader that is removed stays",
    edits: [
      edit(
        "leader.ts",
        "} else if (!state.config.voters.includes(state.id)) {",
        "} else if (state.config.voters.length === 0) {",
      ),
    ],
  },
  {
    name: "a new voter counts as silent from the start",
    edits: [edit("leader.ts", "followConfig(state, lead, true);", "followConfig(state, lead, false);")],
  },
  {
    name: "applies what is committed but not on its own disk",
    edits: [
      edit(
        "log.ts",
        "const to = Math.min(this.#commit, this.#durable);\n    if (to",
        "const to = this.#commit;\n    if (to",
      ),
      edit(
        "log.ts",
        "return Math.min(this.#commit, this.#durable) > this.#handed;",
        "return this.#commit > this.#handed;",
      ),
    ],
  },
  {
    name: "acknowledges to a new leader what an earlier one offered",
    edits: [
      edit("core-state.ts", "    if (leader !== this.leader || leader === null) this.offered = 0;\n", ""),
    ],
  },
  {
    name: "a full window never gives way",
    edits: [
      edit("progress.ts", '    if (this.#state === "replicate" && this.paused) this.#arrived(1);\n', ""),
    ],
  },
  {
    name: "one that cannot be reached is sent more at once",
    edits: [
      edit(
        "progress.ts",
        "    this.probe(this.match + 1);\n    this.#probeSent = true;\n",
        "    this.probe(this.match + 1);\n",
      ),
    ],
  },
  {
    name: "an old refusal takes back what is acknowledged",
    edits: [
      edit("progress.ts", " || lastCandidate < this.match) return;", ") return;"),
      edit("progress.ts", "this.probe(Math.max(this.match + 1, next));", "this.probe(next);"),
    ],
  },
  {
    name: "what is committed counts as uncommitted for ever",
    edits: [edit("log.ts", "    this.#uncommittedBytes -= this.#bytes(this.#commit + 1, next);\n", "")],
  },
  {
    name: "what was replaced counts as uncommitted for ever",
    edits: [edit("log.ts", "    this.#uncommittedBytes -= this.#bytes(from, this.last);\n", "")],
  },
];
