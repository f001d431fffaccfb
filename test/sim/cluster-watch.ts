import type { ClusterOracle } from "./cluster-oracle.ts";
import type { Consensus, CoreStart, CoreStatus, Ready } from "#shared/consensus/ready.ts";

/** The real core, with the oracle looking on: what it hands out to be applied, what it installs, whether it leads. */
export function watchCore(
  core: Consensus,
  start: CoreStart,
  deps: {
    readonly oracle: ClusterOracle;
    /** `host/start`, different for each participation of each process. */
    readonly who: string;
    readonly alive: () => boolean;
    readonly count: (what: string) => void;
  },
): Consensus {
  const { oracle, who, alive, count } = deps;
  oracle.begins(who, start.applied);
  const watched: Consensus = {
    tick: () => core.tick(),
    restTicks: () => core.restTicks(),
    step: (message) => core.step(message),
    propose: (data) => core.propose(data),
    changeConfig: (target) => {
      const before = core.status().config.voters;
      const result = core.changeConfig(target);
      if (result.ok && alive()) {
        count("voter changes");
        if (before.some((voter) => !target.voters.includes(voter))) count("voters replaced");
        oracle.changesVoters(who, target.voters);
      }
      return result;
    },
    transferTo: (member) => core.transferTo(member),
    readIndex: (context) => core.readIndex(context),
    feed: (entries, commit) => {
      const result = core.feed(entries, commit);
      count(`feeds ${result}`);
      return result;
    },
    installSnapshot: (meta) => {
      oracle.takesSnapshot(meta.index);
      return core.installSnapshot(meta);
    },
    reportUnreachable: (member) => core.reportUnreachable(member),
    compact: (meta, upTo) => core.compact(meta, upTo),
    committedFrom: (index, maxBytes) => core.committedFrom(index, maxBytes),
    termAt: (index) => core.termAt(index),
    appliedConfig: () => core.appliedConfig(),
    hasReady: () => core.hasReady(),
    ready: () => {
      // What is handed out is committed; callers may hear of it before the whole of it is done with.
      const ready = core.ready();
      if (!alive()) return ready;
      if (ready.snapshot !== null) oracle.jumps(who, ready.snapshot.index);
      for (const entry of ready.committed) oracle.applies(who, entry);
      return ready;
    },
    advance: (ready: Ready) => {
      core.advance(ready);
      if (alive() && ready.snapshot !== null) count("snapshots installed");
    },
    status: (): CoreStatus => {
      const status = core.status();
      if (alive() && status.role === "leader" && oracle.leads(who, status.term)) count("leaders");
      return status;
    },
  };
  return watched;
}
