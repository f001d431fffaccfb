import { TOKEN_KEPT_MS, TOKENS_MAX } from "#shared/lib/limits.ts";
import { epochMs, type EpochMs } from "#shared/lib/time.ts";
import { tokensById } from "#shared/registry/queries/tokens.ts";
import { done, refuse, type Reducer, type Touched } from "#shared/registry/reducers/outcome.ts";
import type { JoinToken } from "#shared/registry/state.ts";

/** Forgets those that have long been of no use on the way. Answers `{ expires_at }`. */
export const createToken: Reducer<"token.create"> = (state, command, { at }) => {
  const { id, keys, note, created_by: createdBy, ttl_ms } = command;
  if (state.tokens.has(id)) return refuse("bad_request", { field: "id", rule: "is in use" });
  const old = tokensById(state).filter((token) => isForgettable(token, at));
  if (state.tokens.size - old.length >= TOKENS_MAX) {
    return refuse("limit_reached", { what: "join tokens", limit: TOKENS_MAX });
  }
  for (const token of old) state.tokens.delete(token.id);
  const expiresAt = epochMs(at + ttl_ms);
  const token: JoinToken = {
    id,
    keys,
    note,
    createdBy,
    createdAt: at,
    expiresAt,
    usedBy: null,
    usedAt: null,
  };
  state.tokens.set(id, token);
  const gone = old.map((one): Touched => ({ topic: "tokens", op: "delete", id: one.id }));
  return done([...gone, { topic: "tokens", op: "set", id }], { expires_at: expiresAt });
};

export const revokeToken: Reducer<"token.revoke"> = (state, { id }) => {
  if (!state.tokens.delete(id)) return refuse("token_not_found", { token: id });
  return done([{ topic: "tokens", op: "delete", id }]);
};

function isForgettable({ expiresAt, usedAt }: JoinToken, at: EpochMs): boolean {
  return Math.min(expiresAt, usedAt ?? expiresAt) + TOKEN_KEPT_MS <= at;
}
