import type { ConsensusLoop } from "./loop.ts";
import { Pending, type Submission } from "./pending.ts";
import { METHOD, admit, check, toWire, type Forwarded, type ProposeAnswer } from "./wire.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Registry, Submitted } from "#agent/ports/registry.ts";
import type { StreamClass, Transport, Wire } from "#agent/ports/transport.ts";
import type { Consensus } from "#shared/consensus/ready.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { COMMAND_BYTES_MAX, FORWARDED_COMMANDS_MAX, PENDING_COMMANDS_MAX } from "#shared/lib/limits.ts";
import type { Command, Envelope } from "#shared/registry/command.ts";
import type { CommandResult } from "#shared/registry/state.ts";

/** How long a forwarded request may take before the leader counts as stuck and the commands are sent again. */
const FORWARD_MS = 2000;
/** Pause before commands that found no leader are tried again. */
const RETRY_MS = 50;
/** Characters of commands in one proposal or request. */
const BATCH_CHARS_MAX = 512 * 1024;
/** Requests with more than this travel on the bulk stream. */
const CONTROL_CHARS_MAX = 32 * 1024;

type SubmitOptions = Parameters<Registry["submit"]>[1];

/** Who leads, as far as this agent knows. */
export interface Leadership {
  readonly leader: MemberId | null;
  readonly term: number;
}

interface Deps {
  readonly loop: Pick<ConsensusLoop, "do" | "once" | "awaited">;
  readonly transport: Pick<Transport, "self" | "request">;
  readonly clock: Clock;
  readonly leadership: () => Leadership;
  readonly missing: () => readonly MemberId[];
  readonly nextSeq: () => number;
  /** Why this agent, leading, takes no new commands; null when it does. */
  readonly refusal: () => AppError | null;
}

/**
 * Commands of this agent's callers on their way to the leader. A command is repeated under its number until it is applied
 * here or its time is up; the registry's sessions make it take effect once (dissertation §6.3).
 */
export class Submitter {
  readonly #deps: Deps;
  readonly #session: number;
  readonly #pending = new Pending();
  #waiting: Submission[] = [];
  readonly #inTurn = (core: Consensus): void => this.#flush(core);
  #retryAtMs = 0;
  #lastTerm = 0;

  constructor(deps: Deps, options: { readonly session: number }) {
    this.#deps = deps;
    this.#session = options.session;
  }

  submit(command: Command, options: SubmitOptions, defaultMs: number): Promise<Submitted> {
    const { signal } = options;
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    if (this.#pending.size >= PENDING_COMMANDS_MAX) {
      return Promise.reject(new AppError("overloaded", { what: "commands under way" }));
    }
    const chars = JSON.stringify(command).length;
    if (chars > COMMAND_BYTES_MAX) {
      return Promise.reject(
        new AppError("too_large", { what: "the command", limit_bytes: COMMAND_BYTES_MAX }),
      );
    }
    return new Promise((resolve, reject) => {
      const submission: Submission = {
        seq: this.#deps.nextSeq(),
        command,
        chars,
        by: options.by,
        key: options.key,
        expect: options.expect,
        deadlineMs: this.#deps.clock.monotonicMs() + (options.timeoutMs ?? defaultMs),
        resolve,
        reject,
        release: () => undefined,
        exposed: false,
        phase: "waiting",
        term: 0,
      };
      if (signal !== undefined) {
        const abort = (): void => {
          const reason = signal.reason as Error;
          this.#pending.fail(submission.seq, exposed(submission) ? unknownOutcome(submission) : reason);
        };
        signal.addEventListener("abort", abort, { once: true });
        submission.release = () => signal.removeEventListener("abort", abort);
      }
      this.#pending.add(submission);
      this.#waiting.push(submission);
      this.#schedule();
    });
  }

  /** The entry of one of this session's commands was applied here. */
  answered(seq: number, index: number, result: CommandResult): void {
    if (!result.ok && result.refusal.kind === "idempotency_key_reused") {
      this.#pending.fail(seq, AppError.of(result.refusal));
    } else {
      this.#pending.answer(seq, { index, result });
    }
  }

  /** Whether no command is under way. */
  get idle(): boolean {
    return this.#pending.size === 0;
  }

  /** After each turn: gives up what is late, sends again what a change of leader may have lost. */
  onTurn(): void {
    if (this.#pending.size === 0) return;
    const now = this.#deps.clock.monotonicMs();
    const { leader, term } = this.#deps.leadership();
    const changed = term > this.#lastTerm && leader !== null;
    if (changed) this.#lastTerm = term;
    for (const submission of this.#pending.values()) {
      if (submission.deadlineMs <= now) this.#pending.fail(submission.seq, this.#late(submission));
      else if (changed && submission.phase === "accepted" && submission.term < term) this.#again(submission);
    }
    if (this.#waiting.length > 0 && leader !== null && (changed || now >= this.#retryAtMs)) this.#schedule();
  }

  /** The agent stops, or leaves the cluster. */
  failAll(certain: AppError): void {
    for (const submission of this.#pending.values()) {
      this.#pending.fail(submission.seq, exposed(submission) ? unknownOutcome(submission) : certain);
    }
  }

  /** Commands of another agent, proposed here because this one leads. */
  propose(from: MemberId, body: Wire): Promise<Wire> {
    const { items } = admit(check.proposeRequest, body, METHOD.propose);
    for (const item of items) {
      if (item.origin !== from) {
        throw new AppError("forbidden", { needs: "submit commands of another agent" });
      }
    }
    return new Promise((resolve, reject) => {
      this.#deps.loop.do((core) => {
        const refusal = this.#deps.refusal();
        if (refusal !== null && core.status().role === "leader") {
          reject(refusal);
          return;
        }
        const at = this.#deps.clock.now();
        const result = core.propose(items.map((item) => stamped(item, at)));
        if (result.ok) this.#deps.loop.awaited(from, result.index + items.length - 1);
        const answer: ProposeAnswer = result.ok
          ? { ok: true, term: result.term }
          : { ok: false, reason: result.reason };
        resolve(answer);
      });
    });
  }

  #schedule(): void {
    this.#deps.loop.once(this.#inTurn);
  }

  #flush(core: Consensus): void {
    const { leader } = this.#deps.leadership();
    this.#retryAtMs = this.#deps.clock.monotonicMs() + RETRY_MS;
    if (leader === null) return;
    const waiting = this.#waiting.filter(({ phase }) => phase === "waiting");
    this.#waiting = [];
    for (const batch of batches(waiting)) {
      if (leader === this.#deps.transport.self) this.#proposeHere(core, batch);
      else void this.#forward(leader, batch);
    }
  }

  #proposeHere(core: Consensus, batch: readonly Submission[]): void {
    const refusal = this.#deps.refusal();
    if (refusal !== null && core.status().role === "leader") {
      this.#declined(batch, refusal);
      return;
    }
    const at = this.#deps.clock.now();
    const result = core.propose(batch.map((submission) => stamped(this.#envelope(submission), at)));
    if (result.ok) this.#accepted(batch, result.term);
    else this.#refused(batch, result.reason);
  }

  async #forward(leader: MemberId, batch: readonly Submission[]): Promise<void> {
    const items = batch.map((submission) => this.#envelope(submission));
    for (const submission of batch) submission.phase = "sending";
    let answer: ProposeAnswer;
    try {
      const body = await this.#deps.transport.request(
        leader,
        streamFor(batch),
        METHOD.propose,
        toWire({ items }),
        { timeoutMs: FORWARD_MS },
      );
      answer = admit(check.proposeAnswer, body, METHOD.propose);
    } catch (error) {
      if (isKind(error, "disk_full")) {
        this.#declined(batch, error);
        return;
      }
      const certain = ["peer_unreachable", "peer_refused", "not_in_cluster", "overloaded"] as const;
      if (!certain.some((kind) => isKind(error, kind))) for (const each of batch) each.exposed = true;
      for (const submission of batch) this.#again(submission);
      return;
    }
    if (answer.ok) this.#accepted(batch, answer.term);
    else this.#refused(batch, answer.reason);
  }

  #accepted(batch: readonly Submission[], term: number): void {
    for (const submission of batch) {
      submission.exposed = true;
      submission.term = term;
      if (submission.phase !== "done") submission.phase = "accepted";
    }
  }

  /** None of the batch is in the log by this attempt. */
  #refused(batch: readonly Submission[], reason: string): void {
    for (const submission of batch) {
      if (reason === "overloaded" && !submission.exposed) {
        this.#pending.fail(submission.seq, new AppError("overloaded", { what: "the leader's log" }));
      } else {
        this.#again(submission);
      }
    }
  }

  /** The leader takes no commands. What an earlier attempt may have brought into the log waits for its answer. */
  #declined(batch: readonly Submission[], reason: AppError): void {
    for (const submission of batch) {
      if (submission.exposed) this.#again(submission);
      else this.#pending.fail(submission.seq, reason);
    }
  }

  #again(submission: Submission): void {
    if (submission.phase === "done") return;
    submission.phase = "waiting";
    this.#waiting.push(submission);
  }

  #envelope({ seq, key, expect, by, command }: Submission): Forwarded {
    return {
      v: expect === undefined ? 1 : 2,
      origin: this.#deps.transport.self,
      session: this.#session,
      seq,
      ack: this.#pending.ack(seq),
      ...(key === undefined ? {} : { key }),
      ...(expect === undefined ? {} : { expect }),
      by,
      command,
    };
  }

  #late(submission: Submission): AppError {
    if (exposed(submission)) return unknownOutcome(submission);
    return new AppError("quorum_lost", {
      leader: this.#deps.leadership().leader,
      missing: this.#deps.missing(),
    });
  }
}

/** The text that goes into the log. */
function stamped(envelope: Forwarded, at: number): string {
  return JSON.stringify({ ...envelope, at } satisfies Envelope);
}

function exposed(submission: Submission): boolean {
  return submission.exposed || submission.phase === "sending";
}

function unknownOutcome({ key }: Submission): AppError {
  if (key !== undefined) return new AppError("outcome_unknown", { key });
  return new AppError(
    "outcome_unknown",
    { key: "" },
    "the write was sent but its outcome is unknown; look whether it took effect before you repeat it",
  );
}

function streamFor(batch: readonly Submission[]): StreamClass {
  return batch.reduce((sum, { chars }) => sum + chars, 0) > CONTROL_CHARS_MAX ? "bulk" : "control";
}

/** Pieces small enough for one proposal, in order. */
function batches(submissions: readonly Submission[]): Submission[][] {
  const out: Submission[][] = [];
  let current: Submission[] = [];
  let chars = 0;
  for (const submission of submissions) {
    const full = current.length > 0 && chars + submission.chars > BATCH_CHARS_MAX;
    if (full || current.length >= FORWARDED_COMMANDS_MAX) {
      out.push(current);
      current = [];
      chars = 0;
    }
    current.push(submission);
    chars += submission.chars;
  }
  if (current.length > 0) out.push(current);
  return out;
}
