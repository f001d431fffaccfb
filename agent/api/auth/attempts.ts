import type { Clock } from "#agent/ports/clock.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { LOGIN_SOURCES_MAX } from "#shared/lib/limits.ts";

/** Failures that cost nothing: people mistype, and scripts start with an old password. */
const FREE_PER_SOURCE = 10;
/** Higher, so that guessing at a user from a few addresses does not delay that user at once. */
const FREE_PER_USER = 30;
const BACKOFF_MS_FIRST = 1000;
const BACKOFF_MS_MAX = 60_000;
/** After this long without a failure the count starts anew. */
const FORGET_MS = 15 * 60_000;

/** How long to wait after that many failures. Milliseconds; doubles from 1 s to a minute. */
export function backoffMs(failures: number, free: number): number {
  if (failures < free) return 0;
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS_FIRST * 2 ** Math.min(failures - free, 16));
}

interface Failures {
  count: number;
  lastMs: number;
}

/** One login that is being checked. It counts as failed until it is said to have succeeded, so that parallel guesses count. */
export interface Attempt {
  succeeded(): void;
  /** It could not be checked at all; it counts for nothing. */
  abandoned(): void;
}

/**
 * Slows down guessing, per source address and per user. A pair of user and source that has logged in before is only held
 * to the limit of its source, so that strangers cannot lock a user out from where that user works (OWASP, "device cookies").
 * All tables are bounded; the one that was used longest ago is forgotten first.
 */
export class Attempts {
  readonly #clock: Clock;
  readonly #sources = new Map<string, Failures>();
  readonly #users = new Map<string, Failures>();
  readonly #trusted = new Set<string>();

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** Begins a login. Throws AppError too_many_attempts while the source or the user has to wait. */
  begin(user: string, source: string): Attempt {
    const pair = JSON.stringify([user, source]);
    this.#refuse(this.#sources, source, FREE_PER_SOURCE);
    if (!this.#trusted.has(pair)) this.#refuse(this.#users, user, FREE_PER_USER);
    this.#count(this.#sources, source);
    this.#count(this.#users, user);
    const abandoned = (): void => {
      this.#refund(this.#sources, source);
      this.#refund(this.#users, user);
    };
    return {
      abandoned,
      succeeded: () => {
        abandoned();
        this.#trusted.delete(pair);
        this.#trusted.add(pair);
        dropOldest(this.#trusted);
      },
    };
  }

  #refuse(table: Map<string, Failures>, key: string, free: number): void {
    const failures = table.get(key);
    if (failures === undefined) return;
    const passedMs = this.#clock.monotonicMs() - failures.lastMs;
    if (passedMs >= FORGET_MS) {
      table.delete(key);
      return;
    }
    const waitMs = backoffMs(failures.count, free) - passedMs;
    if (waitMs > 0) throw new AppError("too_many_attempts", { retry_after_s: Math.ceil(waitMs / 1000) });
  }

  #count(table: Map<string, Failures>, key: string): void {
    const failures = table.get(key) ?? { count: 0, lastMs: 0 };
    failures.count += 1;
    failures.lastMs = this.#clock.monotonicMs();
    table.delete(key);
    table.set(key, failures);
    dropOldest(table);
  }

  #refund(table: Map<string, Failures>, key: string): void {
    const failures = table.get(key);
    if (failures !== undefined) failures.count = Math.max(0, failures.count - 1);
  }
}

function dropOldest(table: Map<string, unknown> | Set<string>): void {
  if (table.size <= LOGIN_SOURCES_MAX) return;
  for (const oldest of table.keys()) {
    table.delete(oldest);
    return;
  }
}
