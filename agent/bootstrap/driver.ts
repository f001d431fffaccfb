import { createCluster } from "./actions/create.ts";
import { joinCluster } from "./actions/join.ts";
import { recoverCluster } from "./actions/recover.ts";
import { contact, type Contact } from "./contact.ts";
import type { BootstrapDeps, DriverDeps } from "./deps.ts";
import { parseNode } from "./node-address.ts";
import { fit } from "./preflight.ts";
import { rehearse } from "./rehearse.ts";
import { AttemptFailed, failureOf, withIncident } from "./refusal.ts";
import { retrying } from "./retry.ts";
import { StepRecorder } from "./steps.ts";
import type { Bootstrap, Validation } from "#agent/ports/bootstrap.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import { attemptMsMax, requestError } from "#shared/bootstrap/check.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import {
  hasRecovered,
  isMember,
  isUnderWay,
  stepBootstrap,
  type BootstrapAction,
  type BootstrapEffect,
  type BootstrapEvent,
  type BootstrapState,
  type BootstrapStepRecord,
} from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";

/** How often a running attempt is looked at. Milliseconds. */
const TICK_MS = 1000;

/** Pause before the outcome of an attempt is saved again, after the disk refused it. Milliseconds. */
const SAVE_AGAIN_MS = 1000;

/** The attempt under way. */
interface Attempt {
  readonly number: number;
  readonly stop: AbortController;
  readonly recorder: StepRecorder;
  readonly done: Promise<void>;
}

/**
 * Carries out what the machine in shared/bootstrap decides: one event at a time, saved before it acts. Passwords live in
 * the request of the running attempt and nowhere else.
 */
export class BootstrapDriver implements Bootstrap, AsyncDisposable {
  readonly #deps: DriverDeps;
  readonly #contact: Contact;
  readonly #listeners = new Set<(state: BootstrapState) => void>();
  #state: BootstrapState = { name: "idle" };
  #uid: number | null = null;
  #attempt: Attempt | null = null;
  readonly #closing = new AbortController();
  /** Turns of the machine, one after the other. */
  #turns: Promise<unknown> = Promise.resolve();

  constructor(deps: DriverDeps, options: { readonly contact?: Contact } = {}) {
    this.#deps = deps;
    this.#contact = options.contact ?? contact;
  }

  get state(): BootstrapState {
    return this.#state;
  }

  get uid(): number | null {
    return this.#uid;
  }

  get steps(): readonly BootstrapStepRecord[] {
    const state = this.#state;
    if (state.name === "idle") return [];
    if (isUnderWay(state)) {
      const attempt = this.#attempt;
      return attempt?.number === state.attempt ? attempt.recorder.steps : [];
    }
    const told = state.name === "completed" && state.recovery !== undefined ? state.recovery : state;
    return told.steps ?? [];
  }

  async validate(
    action: BootstrapAction,
    request: BootstrapRequest,
    signal: AbortSignal,
  ): Promise<Validation> {
    const step = stepBootstrap(this.#state, await this.#requested(action));
    if ("refused" in step) throw new AppError(step.refused, {});
    this.#refuseUnfit(action, request);
    return rehearse({ ...this.#deps, contact: this.#contact }, action, request, signal);
  }

  onChange(listener: (state: BootstrapState) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * Reads where things stand and settles what a former life left half-done. Call it once, before the replica is started:
   * only when the state is `completed` afterwards is the cluster identity on disk to be followed.
   */
  async resume(): Promise<BootstrapState> {
    this.#state = await this.#deps.store.load();
    const identity = await this.#deps.identity.cluster();
    await this.#send({
      type: "restarted",
      incarnation: identity?.incarnation ?? null,
      at: this.#deps.clock.now(),
    });
    if (this.#state.name === "completed" && identity !== null) this.#settleIn(identity);
    return this.#state;
  }

  async start(action: BootstrapAction, request: BootstrapRequest): Promise<void> {
    if (this.#closing.signal.aborted)
      throw new AppError("overloaded", { what: "this agent" }, "this agent is stopping");
    if (this.#state.name === "idle" && this.#state.retired === this.#deps.host.peer) {
      const text = "this agent is out of its cluster and starts anew with another key; try again in a moment";
      throw new AppError("overloaded", { what: "this agent" }, text);
    }
    await this.#send(await this.#requested(action), request);
  }

  /**
   * The cluster has taken this host out for good: forgets it, and is free to bootstrap again under another peer id. A recovery that
   * is under way ends first; the new incarnation that it may have made knows nothing of the removal.
   */
  async removed(reason: string): Promise<void> {
    const former = this.#formerIncarnation();
    if (former !== null) {
      await this.#attempt?.done;
      const identity = await this.#deps.identity.cluster();
      if (identity !== null && identity.incarnation > former) return;
    }
    await this.#send({ type: "removed", reason, peer: this.#deps.host.peer });
  }

  /** Stops a running attempt, which takes back what it did and ends in `error`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#turns;
    const message = "the agent was stopped during the attempt; what it had begun is undone, try again";
    this.#attempt?.stop.abort(new AttemptFailed({ code: "internal_error", details: { message } }));
    await this.#attempt?.done;
  }

  /** Puts one event through the machine, after all before it. Rejects with AppError when it is refused. */
  #send(event: BootstrapEvent, request?: BootstrapRequest): Promise<void> {
    const turn = this.#turns.then(() => this.#turn(event, request));
    this.#turns = turn.catch(() => undefined);
    return turn;
  }

  async #turn(event: BootstrapEvent, request: BootstrapRequest | undefined): Promise<void> {
    const step = stepBootstrap(this.#state, event);
    if ("refused" in step) throw new AppError(step.refused, {});
    if (event.type === "requested" && request !== undefined) this.#refuseUnfit(event.action, request);
    if (step.state !== this.#state) {
      const state = withIncident(step.state, this.#deps.log);
      await this.#deps.store.save(state); // On disk before any effect of this step, and before anybody is told.
      this.#state = state;
      this.#tell();
    }
    for (const effect of step.effects) await this.#perform(effect, request);
  }

  /** What can be told at once is told at once, and leaves the state as it was. Throws config_error or invalid_license. */
  #refuseUnfit(action: BootstrapAction, request: BootstrapRequest): void {
    const wrong = requestError(action, request, { member: this.#state.name === "completed" });
    if (wrong !== null) throw wrong;
    for (const node of request.nodes) {
      try {
        parseNode(node, request.apiPort);
      } catch (error) {
        const rule = `${node} ${error instanceof Error ? error.message : "is no address"}`;
        throw new AppError("config_error", { field: "cluster.nodes", rule });
      }
    }
    fit(this.#deps, request);
  }

  async #perform(effect: BootstrapEffect, request: BootstrapRequest | undefined): Promise<void> {
    switch (effect.type) {
      case "run": {
        if (request === undefined) return;
        const stop = new AbortController();
        const recorder = new StepRecorder({ clock: this.#deps.clock, onChange: () => this.#tell() });
        const done = this.#run(effect.action, effect.attempt, request, { stop, recorder });
        this.#attempt = { number: effect.attempt, stop, recorder, done };
        return;
      }
      case "abort": {
        if (this.#attempt?.number === effect.attempt)
          this.#attempt.stop.abort(new AttemptFailed(effect.failure));
        return;
      }
      case "forget": {
        this.#uid = null;
        await this.#deps.runtime.forget();
      }
    }
  }

  /** One attempt from `begun` to `ended`. Never rejects. */
  async #run(
    action: BootstrapAction,
    attempt: number,
    request: BootstrapRequest,
    { stop, recorder }: Pick<Attempt, "stop" | "recorder">,
  ): Promise<void> {
    const { clock, log } = this.#deps;
    const began = clock.monotonicMs();
    const limitMs = attemptMsMax(request);
    const ticking = clock.every(TICK_MS, () => {
      const elapsedMs = clock.monotonicMs() - began;
      void this.#send({ type: "ticked", attempt, elapsedMs, limitMs }).catch(() => undefined);
    });
    log.info({ action, attempt }, "bootstrap begins");
    let failure = null;
    try {
      // What an earlier attempt could not take back must not be taken for this one's. What a member holds is what it recovers from.
      if (!isMember(this.#state)) await this.#deps.runtime.forget();
      stop.signal.throwIfAborted();
      await this.#send({ type: "begun", attempt });
      const deps = { ...this.#deps, contact: this.#contact, step: recorder.step };
      this.#settleIn(await this.#act(deps, action, request, stop.signal));
    } catch (error) {
      failure = failureOf(stop.signal.aborted ? stop.signal.reason : error, log);
      const recovered = await this.#recovered();
      if (recovered !== null) {
        const text =
          "the recovered cluster is on the disk, but the recovery was stopped there; restart the agent if it does not lead";
        log.error({ failure }, text);
        this.#settleIn(recovered);
        failure = null;
      }
    } finally {
      ticking[Symbol.dispose]();
    }
    const tookMs = Math.round(clock.monotonicMs() - began);
    if (failure === null) log.info({ action, attempt, tookMs }, "bootstrap completed");
    else
      log.warn({ action, attempt, tookMs, code: failure.code, details: failure.details }, "bootstrap failed");
    await this.#end({ type: "ended", attempt, failure, at: clock.now(), steps: recorder.close() });
  }

  /** Until the disk takes the outcome nobody else may begin anything here. A stop leaves the attempt half-done for the next start. */
  async #end(event: BootstrapEvent): Promise<void> {
    const { clock, log } = this.#deps;
    for (;;) {
      try {
        await this.#send(event);
        return;
      } catch (error) {
        log.error({ event: event.type, err: error }, "the outcome of the bootstrap could not be saved yet");
      }
      await clock.sleep(SAVE_AGAIN_MS, this.#closing.signal).catch(() => undefined);
      if (this.#closing.signal.aborted) return;
    }
  }

  async #act(
    deps: BootstrapDeps & { readonly contact: Contact },
    action: BootstrapAction,
    request: BootstrapRequest,
    signal: AbortSignal,
  ): Promise<ClusterIdentity> {
    switch (action) {
      case "create_cluster":
        return retrying(deps, request, signal, () => createCluster(deps, request, signal));
      case "join_cluster":
        return joinCluster(deps, request, signal);
      case "recover_cluster":
        return retrying(deps, request, signal, () => recoverCluster(deps, request, signal));
    }
  }

  /** The event of a request; a member whose cluster has no leader tells which one it has lost. */
  async #requested(action: BootstrapAction): Promise<BootstrapEvent> {
    const { clock, identity, runtime } = this.#deps;
    const lost = this.#state.name === "completed" && runtime.registry.status().leader === null;
    const incarnation = lost ? ((await identity.cluster())?.incarnation ?? null) : null;
    return { type: "requested", action, at: clock.now(), lost: incarnation };
  }

  /** The incarnation that a member which recovers its cluster comes from; null in every other attempt. */
  #formerIncarnation(): number | null {
    return isUnderWay(this.#state) ? (this.#state.member?.incarnation ?? null) : null;
  }

  /** What a recovery has put on the disk, though it was stopped afterwards; null when it had not come that far. */
  async #recovered(): Promise<ClusterIdentity | null> {
    const identity = await this.#deps.identity.cluster().catch(() => null);
    return hasRecovered(this.#state, identity?.incarnation ?? null) ? identity : null;
  }

  #settleIn({ uid, paths }: ClusterIdentity): void {
    this.#uid = uid;
    if (paths !== undefined) this.#deps.inventory.setPaths(paths);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener(this.#state);
  }
}
