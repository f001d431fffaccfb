import { IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_KEY_AGE_MS_MAX } from "#shared/lib/limits.ts";
import type { KeyRecord, RegistryState } from "#shared/registry/state.ts";

/** Keys belong to their user: two users may pick the same text. */
export function scopedKey(by: string, key: string): string {
  return JSON.stringify([by, key]);
}

/** What was answered under this key, unless that is longer ago than IDEMPOTENCY_KEY_AGE_MS_MAX by the log's time without its leaps. */
export function recallKey(state: RegistryState, scoped: string): KeyRecord | undefined {
  for (const [oldest, { elapsedMs }] of state.keys) {
    if (state.elapsedMs - elapsedMs <= IDEMPOTENCY_KEY_AGE_MS_MAX) break;
    state.keys.delete(oldest);
  }
  return state.keys.get(scoped);
}

/** Remembers an answer; beyond IDEMPOTENCY_KEYS_MAX the oldest is forgotten. */
export function rememberKey(state: RegistryState, scoped: string, record: KeyRecord): void {
  state.keys.set(scoped, record);
  for (const oldest of state.keys.keys()) {
    if (state.keys.size <= IDEMPOTENCY_KEYS_MAX) break;
    state.keys.delete(oldest);
  }
}
