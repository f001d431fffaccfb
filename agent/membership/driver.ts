import type { Beat, Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { HostReport, HostView, Liveness, Membership, OwnHealth } from "#agent/ports/membership.ts";
import type { Transport, Wire } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { SwimMessage } from "#shared/membership/messages.ts";
import { Swim, TICK_MS, type MemberView, type SwimEvent } from "#shared/membership/swim.ts";

import { ClockWatch } from "./clock-watch.ts";
import { FactsExchange } from "./facts.ts";
import { LoopDelay } from "./loop-delay.ts";
import { RoundTrips } from "./round-trips.ts";
import { swimFrame, type SwimFrame } from "./wire.ts";

/** Room between two lives of an agent for the refutations of one. */
const INCARNATIONS_PER_START = 2 ** 20;

/** How much later than it is due a probe may begin when nothing is under way, so that it shares a wake-up. Milliseconds. */
const COMPANY_MS = 300;

interface Deps {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  /** A number in [0, 1). */
  readonly random: () => number;
}

/** Runs SWIM and the exchange of host facts over the mesh, and answers for both. */
export class MembershipDriver implements Membership {
  readonly #deps: Deps;
  readonly #swim: Swim;
  readonly #facts: FactsExchange;
  readonly #roundTrips = new RoundTrips();
  readonly #clockWatch: ClockWatch;
  readonly #loopDelay = new LoopDelay();
  readonly #names = new Map<MemberId, string>();
  readonly #listeners = new Set<(peer: MemberId) => void>();
  readonly #running = new DisposableStack();
  #ticking: Beat | null = null;
  #stopped = false;

  /** `starts`: how many times this agent has started, this time included; a restart outranks what was said of its last life. */
  constructor(deps: Deps, options: { readonly starts: number }) {
    this.#deps = deps;
    const { transport, random } = deps;
    const incarnation = options.starts * INCARNATIONS_PER_START;
    this.#swim = new Swim({ self: transport.self, incarnation, random });
    this.#clockWatch = new ClockWatch(deps);
    this.#facts = new FactsExchange(deps, {
      starts: options.starts,
      onNews: (peer) => this.#heardFacts(peer),
    });
  }

  /** Begins to take part. Called once. */
  start(): void {
    const { transport, clock } = this.#deps;
    transport.onMessage("swim", (from, body) => this.#receive(from, body));
    this.#facts.start();
    this.#running.use(
      transport.onPeer(({ type, peer }) => {
        if (type === "up") this.#connected(peer);
        else this.#step({ type: "disconnected", peer, nowMs: clock.monotonicMs() });
      }),
    );
    this.#ticking = this.#running.use(
      clock.every(TICK_MS, (lateMs) => {
        const nowMs = clock.monotonicMs();
        this.#loopDelay.ticked(nowMs, lateMs);
        this.#facts.tick(nowMs);
        this.#step({ type: "tick", nowMs, wallMs: clock.now(), lateMs });
      }),
    );
  }

  /** Falls silent. Others will find this agent dead, not gone: stopping is not leaving. */
  stop(): void {
    this.#stopped = true;
    this.#facts.stop();
    this.#running.dispose();
  }

  /** Tells all that this member leaves the cluster for good; spread by the ticks that follow. */
  leave(): void {
    this.#step({ type: "leave" });
  }

  /** Takes the goodbye back: the cluster did not let this member go. */
  stay(): void {
    this.#step({ type: "stay" });
  }

  /** Who belongs to the cluster, by the registry. Others are neither probed nor listened to. */
  setMembers(members: readonly { readonly peer: MemberId; readonly name: string }[]): void {
    const before = new Set(this.#names.keys());
    this.#names.clear();
    for (const { peer, name } of members) this.#names.set(peer, name);
    const peers = new Set(this.#names.keys());
    this.#step({ type: "members", peers: [...peers] });
    this.#facts.setMembers(peers);
    this.#roundTrips.keep(peers);
    this.#clockWatch.keep(peers);
    for (const peer of this.#deps.transport.connected()) {
      if (peers.has(peer) && !before.has(peer)) this.#connected(peer);
    }
  }

  /** Whether a member was heard of and is not known to be dead. A suspect still counts. */
  isAlive(peer: MemberId): boolean {
    const liveness = livenessOf(this.#swim.view(peer));
    return liveness === "alive" || liveness === "suspect";
  }

  view(peer: MemberId): HostView {
    const { transport, clock } = this.#deps;
    const held = this.#swim.view(peer);
    const version = this.#facts.version(peer);
    const isSelf = peer === transport.self;
    const roundTrip = isSelf ? { rttMs: 0, offsetMs: 0 } : this.#roundTrips.of(peer);
    const heardMs = isSelf ? clock.monotonicMs() : (held?.heardMs ?? null);
    return {
      report: this.#facts.report(peer),
      liveness: livenessOf(held),
      version: version === null ? null : { incarnation: version[0], count: version[1] },
      lastSeenMsAgo: heardMs === null ? null : Math.max(0, clock.monotonicMs() - heardMs),
      rttMs: roundTrip?.rttMs ?? null,
      clockOffsetMs: roundTrip?.offsetMs ?? null,
      clockAlarm: this.#clockWatch.isAlarming(peer),
    };
  }

  self(): OwnHealth {
    return { score: this.#swim.health, loopDelayMs: this.#loopDelay.worstMs };
  }

  publish(report: HostReport): void {
    if (!this.#stopped) this.#facts.publish(report);
  }

  onChange(listener: (peer: MemberId) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  #connected(peer: MemberId): void {
    this.#roundTrips.forget(peer);
    this.#step({ type: "connected", peer, nowMs: this.#deps.clock.monotonicMs() });
    if (this.#names.has(peer)) this.#facts.greet(peer, this.#deps.clock.monotonicMs());
  }

  #receive(from: MemberId, body: Wire): void {
    const { clock, log } = this.#deps;
    if (!swimFrame.Check(body)) {
      log.warn({ from }, "dropped a malformed membership message");
      return;
    }
    const nowMs = clock.monotonicMs();
    const receivedMs = clock.now();
    const { message, clock: stamps, facts } = body;
    if (message.type === "ack" && stamps !== undefined) {
      const [peerReceivedMs, peerSentMs] = stamps;
      const answer = { seq: message.seq, monotonicMs: nowMs, wallMs: receivedMs, peerSentMs, peerReceivedMs };
      if (this.#roundTrips.answered(from, answer)) this.#watchClock(from);
    }
    this.#step({ type: "received", from, message, nowMs }, receivedMs);
    if (message.type === "ping" && facts !== undefined) this.#facts.compare(from, facts, nowMs);
  }

  /** `receivedMs`: when the message behind the event came in, by the wall clock. */
  #step(event: SwimEvent, receivedMs: number | null = null): void {
    if (this.#stopped) return;
    const { transport, clock } = this.#deps;
    for (const effect of this.#swim.step(event)) {
      if (effect.type === "changed") {
        this.#tellChange(effect.peer);
        continue;
      }
      const { to, message } = effect;
      if (message.type === "ping" && message.seq > 0) {
        this.#roundTrips.asked(to, {
          seq: message.seq,
          monotonicMs: clock.monotonicMs(),
          wallMs: clock.now(),
        });
      }
      // Whole parts of a table are large; they must not delay probes.
      transport.send(
        to,
        message.type === "sync" ? "bulk" : "control",
        "swim",
        this.#frame(message, event, receivedMs),
      );
    }
    this.#restWhileQuiet();
  }

  /** An agent is idle most of its life: ticks that bring nothing are not waited for. */
  #restWhileQuiet(): void {
    const restMs = this.#facts.quiet ? this.#swim.restMs : 0;
    if (restMs > TICK_MS) this.#ticking?.rest(restMs + COMPANY_MS, COMPANY_MS);
    else this.#ticking?.rouse();
  }

  #frame(message: SwimMessage, event: SwimEvent, receivedMs: number | null): SwimFrame {
    if (message.type === "ping") return { message, facts: this.#facts.fingerprint };
    const answers = message.type === "ack" && event.type === "received" && event.message.type === "ping";
    if (!answers || receivedMs === null) return { message };
    return { message, clock: [receivedMs, this.#deps.clock.now()] };
  }

  #watchClock(peer: MemberId): void {
    const measured = this.#roundTrips.of(peer);
    if (measured !== null) this.#clockWatch.look({ peer, member: this.#names.get(peer) }, measured);
  }

  #tellChange(peer: MemberId): void {
    const liveness = livenessOf(this.#swim.view(peer));
    this.#deps.log.info({ peer, member: this.#names.get(peer), liveness }, "member liveness");
    this.#changed(peer);
  }

  /** This host's own or another's, which the next ticks pass on. */
  #heardFacts(peer: MemberId): void {
    this.#ticking?.rouse();
    this.#changed(peer);
  }

  #changed(peer: MemberId): void {
    for (const listener of this.#listeners) listener(peer);
  }
}

/** One of which nobody has heard anything is not alive, nor is it suspected of having been. */
function livenessOf(held: MemberView | null): Liveness {
  if (held === null) return "unknown";
  const unheard = held.incarnation === 0 && (held.status === "alive" || held.status === "suspect");
  return unheard ? "unknown" : held.status;
}
