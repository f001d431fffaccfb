import { byText } from "#shared/lib/order.ts";
import type { EpochMs } from "#shared/lib/time.ts";
import type { JoinToken, RegistryState } from "#shared/registry/state.ts";

/** All join tokens in the order of their ids. */
export function tokensById(state: Readonly<RegistryState>): JoinToken[] {
  return [...state.tokens.values()].toSorted((a, b) => byText(a.id, b.id));
}

/** What has become of a token by this moment (the log's time). One that was revoked is gone. */
export function tokenStateOf({ usedBy, expiresAt }: JoinToken, at: EpochMs): "valid" | "used" | "expired" {
  if (usedBy !== null) return "used";
  return at < expiresAt ? "valid" : "expired";
}
