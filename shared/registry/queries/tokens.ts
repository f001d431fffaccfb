import { byText } from "#shared/lib/order.ts";
import type { JoinToken, RegistryState } from "#shared/registry/state.ts";

/** All join tokens in the order of their ids. */
export function tokensById(state: Readonly<RegistryState>): JoinToken[] {
  return [...state.tokens.values()].toSorted((a, b) => byText(a.id, b.id));
}
