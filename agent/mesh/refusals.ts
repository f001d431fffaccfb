import type { Link } from "./link.ts";
import type { ByeReason, WireHello } from "./wire.ts";
import type { Log } from "#agent/ports/log.ts";
import type { PeerEvent } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** Reasons that seldom pass by themselves: not worth asking again soon. */
const LASTING: readonly string[] = [
  "other_cluster",
  "other_incarnation",
  "other_lineage",
  "other_protocol",
  "identity_in_use",
  "violation",
];

export function isLasting(reason: string): boolean {
  return LASTING.includes(reason);
}

interface Deps {
  readonly self: MemberId;
  readonly log: Log;
  readonly emit: (event: PeerEvent) => void;
}

/**
 * Tells of the links to one peer that were refused. What is refused is refused again with every call: the log is told once, until
 * something has changed; whoever waits for an event, each time.
 */
export class Refusals {
  readonly #deps: Deps;
  readonly #peer: MemberId;
  readonly #told = new Set<string>();

  constructor(deps: Deps, options: { readonly peer: MemberId }) {
    this.#deps = deps;
    this.#peer = options.peer;
  }

  /** Something has changed: what is refused from now on is news. */
  clear(): void {
    this.#told.clear();
  }

  /** Ends a link whose other side is not in our cluster. Where it is in another life of it, both sides hear which: the earlier one is over. */
  refuse(link: Link, reason: ByeReason, ours: WireHello, theirs: WireHello): void {
    const { log, emit } = this.#deps;
    const peer = this.#peer;
    const anotherLife = reason === "other_incarnation" || reason === "other_lineage";
    if (anotherLife && !link.dialed) link.greet(ours);
    link.end(reason);
    const { incarnation } = theirs;
    const fields = { peer, remote: link.remoteAddr, reason, incarnation };
    if (reason === "other_incarnation" && incarnation < ours.incarnation) {
      this.#once(reason, () => log.info(fields, "a member is still in an earlier incarnation"));
      return;
    }
    this.#once(reason, () => log.warn(fields, "member refused"));
    if (reason === "other_incarnation") emit({ type: "outlived", peer, incarnation });
  }

  /** The other side has refused a link, or ended it. */
  heard(link: Link, reason: string): void {
    const { log, self } = this.#deps;
    const fields = { peer: this.#peer, remote: link.remoteAddr, reason };
    if (reason === "identity_in_use") {
      log.error({ ...fields, self }, "refused: another live host has this agent's key (a cloned disk?)");
    } else if (isLasting(reason)) {
      // Whoever has heard the hello of another cluster refuses it as well, and says more of it.
      if (link.hello !== null && reason !== "violation") return;
      this.#once(reason, () => log.warn(fields, "refused by a member"));
    }
  }

  #once(reason: string, tell: () => void): void {
    if (this.#told.has(reason)) return;
    this.#told.add(reason);
    tell();
  }
}
