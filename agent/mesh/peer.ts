import type { Connection, Stream } from "@libp2p/interface";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { PeerEvent, StreamClass } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Prng } from "#shared/lib/prng.ts";
import type { Handlers } from "./handlers.ts";
import type { LinkOwner } from "./link.ts";
import type { ByeReason, WireHello } from "./wire.ts";
import { HOST_ADDRESSES_MAX } from "#shared/lib/limits.ts";
import { byText } from "#shared/lib/order.ts";
import { BackOff } from "./back-off.ts";
import { Link } from "./link.ts";
import { mismatch } from "./mismatch.ts";
import { isLasting, Refusals } from "./refusals.ts";

/** How long an old link has to prove that it is alive when a second one comes. Milliseconds. */
const PROBE_MS = 1000;
/** How long a peer id is refused after two live hosts were found to use it. Milliseconds. */
const QUARANTINE_MS = 30_000;
/** Addresses heard of by hints that are kept, and how often one may cause a call. Milliseconds. */
const HINTS_MAX = 4;
const HINT_MS = 1000;
/** What a member's links need of the mesh. */
export interface PeerDeps {
  readonly self: MemberId;
  readonly clock: Clock;
  readonly log: Log;
  readonly prng: Prng;
  readonly handlers: Handlers;
  /** This agent's hello now; null while it belongs to no cluster. */
  readonly hello: () => WireHello | null;
  /** Opens a connection of its own to one of the addresses. Rejects if none answers. */
  readonly dial: (peer: MemberId, addresses: readonly string[], signal: AbortSignal) => Promise<Connection>;
  readonly openStream: (connection: Connection, kind: StreamClass) => Promise<Stream>;
  readonly emit: (event: PeerEvent) => void;
}

/**
 * One member: dialled for life, reached over one link at a time.
 *
 * When both sides dial at once there are two candidates. The side with the smaller peer id is the judge of the pair and the
 * only one that refuses: it keeps the link it has if that answers a probe. The other side takes what the judge accepts, so
 * both always end with the same one, and the first to be ready is used at once.
 */
export class Peer implements LinkOwner {
  readonly id: MemberId;
  readonly #deps: PeerDeps;
  readonly #judge: boolean;
  readonly #backOff: BackOff;
  readonly #refusals: Refusals;
  #closed = false;
  readonly #candidates = new Map<string, Link>();
  #addresses: readonly string[] = [];
  #learnt: readonly string[] = [];
  #hinted: readonly string[] = [];
  #nextHintMs = 0;
  #link: Link | null = null;
  /** The link this side has accepted last, up or about to be. Only the judge decides by it. */
  #chosen: Link | null = null;
  /** The dial under way. */
  #call: AbortController | null = null;
  #wait: AbortController | null = null;
  #admitting: Promise<void> = Promise.resolve();
  #refusedUntil = 0;

  constructor(deps: PeerDeps, options: { readonly id: MemberId }) {
    this.id = options.id;
    this.#deps = deps;
    this.#judge = byText(deps.self, options.id) < 0;
    this.#backOff = new BackOff({ prng: deps.prng });
    this.#refusals = new Refusals(deps, { peer: options.id });
  }

  /** The link in use; null while there is none. */
  get link(): Link | null {
    return this.#link;
  }

  /** Where the registry says it is. A change is tried at once. */
  setAddresses(addresses: readonly string[]): void {
    if (addresses.length === this.#addresses.length && addresses.every((a, i) => a === this.#addresses[i])) {
      return;
    }
    this.#addresses = addresses;
    this.#backOff.reset();
    this.kick();
  }

  /** Somebody claims that it is there, and there only its handshake can prove it. Called at once, while it has no link. */
  hint(address: string): void {
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#link !== null || nowMs < this.#nextHintMs) return;
    this.#nextHintMs = nowMs + HINT_MS;
    this.#hinted = [...new Set([address, ...this.#hinted])].slice(0, HINTS_MAX);
    this.#backOff.reset();
    this.kick();
  }

  /** Dials now, unless there is a link, a dial under way, or no cluster to speak for. */
  kick(): void {
    this.#cancelWait();
    if (this.#closed || this.#link !== null || this.#call !== null) return;
    if (this.#deps.hello() === null) return;
    void this.#dial();
  }

  /** The peer called and opened this stream. */
  takeStream(connection: Connection, kind: StreamClass, stream: Stream): void {
    this.#backOff.reset();
    this.#cancelWait(); // Whatever becomes of this call decides when to dial next.
    const link = this.#candidates.get(connection.id) ?? this.#candidate(connection, false);
    link.attach(kind, stream);
  }

  /** Ends all links and starts anew: the cluster has changed. */
  restart(reason: ByeReason): void {
    this.#endAll(reason);
    this.#refusals.clear();
    this.#backOff.reset();
    this.kick();
  }

  /** No member any more, or the mesh stops. */
  close(reason: ByeReason): void {
    this.#closed = true;
    this.#call?.abort();
    this.#cancelWait();
    this.#endAll(reason);
  }

  heard(link: Link, hello: WireHello): void {
    this.#admitting = this.#admitting
      .then(() => this.#admit(link, hello))
      .catch((error: unknown) => {
        this.#deps.log.error({ peer: this.id, err: error }, "admission failed");
        link.abort("admission failed");
      });
  }

  up(link: Link): void {
    const old = this.#link;
    const { hello } = link;
    if (hello === null) return;
    this.#link = link;
    this.#learnt = hello.meshAddrs.slice(0, HOST_ADDRESSES_MAX);
    this.#hinted = [];
    this.#refusals.clear();
    this.#backOff.reset();
    this.#cancelWait();
    const restarted = old !== null && old.boot !== link.boot;
    if (restarted) this.#deps.emit({ type: "down", peer: this.id, reason: "restarted" });
    old?.end("replaced");
    if (old === null || restarted) {
      this.#deps.log.info(
        { peer: this.id, remote: link.remoteAddr, dialed: link.dialed, software: hello.software },
        "peer up",
      );
      this.#deps.emit({ type: "up", peer: this.id, hello });
    }
  }

  ended(link: Link, reason: string, told: boolean): void {
    for (const [connection, candidate] of this.#candidates) {
      if (candidate === link) this.#candidates.delete(connection);
    }
    if (this.#chosen === link) this.#chosen = null;
    if (told) this.#refusals.heard(link, reason);
    if (this.#link === link) {
      this.#link = null;
      this.#deps.log.info({ peer: this.id, reason }, "peer down");
      this.#deps.emit({ type: "down", peer: this.id, reason });
    }
    if (this.#call === null) this.#retry(reason);
  }

  #candidate(connection: Connection, dialed: boolean): Link {
    const { handlers, clock, log } = this.#deps;
    const link = new Link(
      { connection, owner: this, handlers, clock, log },
      { peer: this.id, dialed, judge: this.#judge },
    );
    this.#candidates.set(connection.id, link);
    return link;
  }

  /** One candidate at a time, in the order of their hellos. */
  async #admit(link: Link, theirs: WireHello): Promise<void> {
    const ours = this.#deps.hello();
    if (ours === null) {
      link.end("not_a_member");
      return;
    }
    const reason = mismatch(ours, theirs);
    if (reason !== null) {
      this.#refusals.refuse(link, reason, ours, theirs);
      return;
    }
    const verdict = this.#isQuarantined() ? "identity_in_use" : await this.#compare(link);
    if (verdict === "identity_in_use") this.#quarantine(link);
    if (verdict === "take") {
      this.#chosen = link;
      link.accept(ours);
    } else {
      link.end(verdict);
    }
  }

  /** What becomes of a candidate in view of the link that is there already. */
  async #compare(candidate: Link): Promise<"take" | "duplicate" | "identity_in_use"> {
    const current = this.#judge ? this.#chosen : this.#link;
    if (current === null) return "take";
    const sameBoot = current.boot === candidate.boot;
    if (sameBoot && !this.#judge) return "take";
    if (!(await current.probe(PROBE_MS))) {
      if (current !== this.#link) current.end("replaced"); // One that is up goes once the new one is.
      return "take";
    }
    return sameBoot ? "duplicate" : "identity_in_use";
  }

  #isQuarantined(): boolean {
    return this.#deps.clock.monotonicMs() < this.#refusedUntil;
  }

  /** Nobody can tell which of the two is the true one, so both are refused and both are named. */
  #quarantine(link: Link): void {
    if (!this.#isQuarantined()) {
      const hosts = [this.#link?.remoteAddr, link.remoteAddr];
      this.#deps.log.error(
        { peer: this.id, hosts },
        "two live hosts have the same key (a cloned disk?); both are refused",
      );
    }
    this.#refusedUntil = this.#deps.clock.monotonicMs() + QUARANTINE_MS;
    this.#link?.end("identity_in_use");
  }

  async #dial(): Promise<void> {
    const call = new AbortController();
    this.#call = call;
    let reason: string | null = null;
    try {
      reason = await this.#callOnce(call.signal);
      if (reason !== null) this.#deps.log.debug({ peer: this.id, reason }, "call did not come through");
    } catch (error) {
      this.#deps.log.debug({ peer: this.id, err: error }, "call did not come through");
    }
    this.#call = null;
    this.#retry(reason ?? "");
  }

  /** Dials, opens both streams, says hello. Null: a link is up; else why this one is not. */
  async #callOnce(signal: AbortSignal): Promise<string | null> {
    const addresses = [...new Set([...this.#hinted, ...this.#addresses, ...this.#learnt])];
    const connection = await this.#deps.dial(this.id, addresses, signal);
    const hello = this.#deps.hello();
    if (signal.aborted || hello === null) {
      connection.abort(new Error("no longer wanted"));
      return "no longer wanted";
    }
    const link = this.#candidate(connection, true);
    try {
      const [control, bulk] = await Promise.all([
        this.#deps.openStream(connection, "control"),
        this.#deps.openStream(connection, "bulk"),
      ]);
      link.attach("control", control);
      link.attach("bulk", bulk);
    } catch (error) {
      link.abort("streams refused");
      throw error;
    }
    link.greet(hello);
    return link.settled;
  }

  #retry(reason: string): void {
    if (this.#closed || this.#link !== null || this.#wait !== null) return;
    const ms = isLasting(reason) ? this.#backOff.longest() : this.#backOff.next();
    const wait = new AbortController();
    this.#wait = wait;
    this.#deps.clock.sleep(ms, wait.signal).then(
      () => this.kick(),
      () => undefined,
    );
  }

  #cancelWait(): void {
    this.#wait?.abort();
    this.#wait = null;
  }

  #endAll(reason: ByeReason): void {
    for (const link of this.#candidates.values()) link.end(reason);
  }
}
