import type { CopyHead, CopyReply } from "./copy-messages.ts";
import { within } from "./deadline.ts";
import { AttemptFailed } from "./refusal.ts";
import { ask, prove } from "./survey-ask.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Credentials, Scram } from "#agent/ports/credentials.ts";
import type { Log } from "#agent/ports/log.ts";
import type { PeerAddresses, StrangerTransport } from "#agent/ports/transport.ts";
import type { Unseen } from "#shared/bootstrap/recovery.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** Agents asked at once. */
const AT_ONCE_MAX = 8;
/** Longest for an agent to be found, longest for it to be reached, and longest for it to say what anybody may know. Milliseconds. */
const ASK_MS_MAX = 5000;
/** Longest to prove the password and to hear what the copy is: a hash here, a look at the disk there. Milliseconds. */
const PROVE_MS_MAX = 10_000;
/** Longest for all that are asked in one round. Milliseconds. */
const ROUND_MS_MAX = 20_000;
/** A cluster that was heard of so lately may be between two leaders: it is given the time of an election. Milliseconds. */
export const QUIET_MS = 5000;

const NO_CREDENTIALS = "it shows its copy only to an administrator of the cluster; give credentials";

interface Deps {
  readonly transport: Pick<StrangerTransport, "openJoin">;
  readonly scram: Scram;
  readonly clock: Clock;
  readonly log: Log;
  readonly self: MemberId;
}

/** Somebody to ask. */
export interface Target {
  /** How it is called towards people. */
  readonly where: string;
  /** Known beforehand or not. */
  readonly peer: MemberId | null;
  readonly find: (signal: AbortSignal) => Promise<PeerAddresses>;
}

/** What one agent said. `head`: null when its copy was not wanted, or not given. */
export interface Heard {
  readonly where: string;
  readonly holder: PeerAddresses;
  readonly reply: CopyReply;
  readonly head: CopyHead | null;
}

/** What came of one round. An agent that answered without showing its copy, though that was wanted, is in both. */
export interface Round {
  readonly heard: readonly Heard[];
  readonly unseen: readonly Unseen[];
}

interface Options {
  /** Null: only what anybody may know can be asked. */
  readonly credentials: Credentials | null;
  /** Copies of other clusters are not asked for; null when any may be the one. */
  readonly clusterId: string | null;
  /** Who was asked already, this host included; whoever is asked now is added. */
  readonly asked: Set<MemberId>;
}

/** Asks all of them, a few at once. Rejects with the signal's reason alone: who does not answer is noted. */
export async function askAround(
  deps: Deps,
  targets: readonly Target[],
  options: Options,
  signal: AbortSignal,
): Promise<Round> {
  const heard: Heard[] = [];
  const unseen: Unseen[] = [];
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const late = deps.clock.sleep(ROUND_MS_MAX, either).then(
    () => over.abort(new Error("there was no time left to ask it")),
    () => undefined,
  );
  const waiting = [...targets];
  const work = async (): Promise<void> => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
      const { where } = target;
      try {
        either.throwIfAborted();
        const answer = await askOne(deps, target, options, either);
        if (answer === null) continue;
        heard.push(answer);
        if (answer.error !== null) unseen.push(unseenAt(where, answer.error));
      } catch (error) {
        const reason: unknown = either.aborted ? either.reason : error;
        deps.log.info({ where, err: reason }, "an agent was not heard about its copy of the registry");
        unseen.push(unseenAt(where, reason));
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE_MAX }, work));
  } finally {
    over.abort();
    await late;
  }
  signal.throwIfAborted();
  return { heard, unseen };
}

/** As a line of the report: why a copy was not seen. */
export function unseenAt(address: string, error: unknown): Unseen {
  const denied =
    isKind(error, "access_denied") ||
    (error instanceof AttemptFailed && error.failure.code === "access_denied");
  return { address, cause: causeOf(error), denied };
}

/** Work that is told to stop after so many milliseconds, and is then waited for no longer. */
export async function timed<T>(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const late = (): Error => new Error(`it did not answer within ${ms / 1000} s`);
  try {
    return await within(work(AbortSignal.any([signal, over.signal])), { clock, ms, signal, late });
  } finally {
    over.abort();
  }
}

type Answer = Heard & { readonly error: unknown };

/** Null when it was asked before, under another address. One that knew a leader a moment ago is asked again: there may be another. */
async function askOne(
  deps: Deps,
  { where, find }: Target,
  options: Options,
  signal: AbortSignal,
): Promise<Answer | null> {
  const holder = await timed(deps.clock, ASK_MS_MAX, signal, find);
  if (options.asked.has(holder.peer)) return null;
  options.asked.add(holder.peer);
  let answer = await converse(deps, holder, options, signal);
  const { leader, age_ms } = answer.reply;
  if (!leader && age_ms !== null && age_ms < QUIET_MS) {
    await deps.clock.sleep(QUIET_MS - age_ms, signal);
    answer = await converse(deps, holder, options, signal);
  }
  return { where, holder, ...answer };
}

async function converse(
  { transport, scram, clock, self }: Deps,
  holder: PeerAddresses,
  { credentials, clusterId }: Options,
  signal: AbortSignal,
): Promise<Pick<Answer, "reply" | "head" | "error">> {
  await using channel = await timed(clock, ASK_MS_MAX, signal, (inTime) =>
    transport.openJoin(holder, inTime),
  );
  const reply = await timed(clock, ASK_MS_MAX, signal, (inTime) => ask(channel, inTime));
  const foreign = clusterId !== null && clusterId !== reply.cluster_id;
  if (reply.leader || reply.recovering || foreign) return { reply, head: null, error: null };
  if (credentials === null) return { reply, head: null, error: new Error(NO_CREDENTIALS) };
  try {
    const head = await timed(clock, PROVE_MS_MAX, signal, (inTime) =>
      prove({ scram, self }, channel, { credentials, reply }, inTime),
    );
    return { reply, head, error: null };
  } catch (error) {
    return { reply, head: null, error };
  }
}

function causeOf(error: unknown): string {
  if (isKind(error, "peer_unreachable")) return "it cannot be reached";
  if (isKind(error, "peer_timeout")) return "it did not answer in time";
  if (error instanceof AppError || error instanceof Error) return error.message;
  return String(error);
}
