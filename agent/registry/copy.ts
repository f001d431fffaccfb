import { beginningOf } from "./start.ts";
import type { HeldCopy } from "#agent/ports/registry.ts";
import { StoreDamaged, type Stores } from "#agent/ports/store.ts";
import { applyEntry } from "#shared/registry/reduce.ts";

/** Entries applied before the event loop gets a turn. */
const APPLY_AT_ONCE = 512;

/**
 * The registry as this host's disk has it, with every entry of the log applied. One that is not known to be committed may
 * have been acknowledged all the same: by a majority that this host belonged to, or of which it is what is left. The other
 * way round nothing is lost by it: what was never acknowledged may take effect (dissertation §3.6.2, §6.3).
 *
 * Null without a cluster. Rejects with StoreDamaged.
 */
export async function copyHeld(stores: Pick<Stores, "held">): Promise<HeldCopy | null> {
  const held = await stores.held();
  if (held === null) return null;
  const { state, core } = beginningOf(held);
  let since = 0;
  for (const entry of core.entries) {
    if (entry.index <= state.index) continue;
    const { halted } = applyEntry(state, entry);
    if (halted !== null) {
      throw new StoreDamaged(
        `the log entry ${entry.index} is of a newer version`,
        "upgrade this agent, then try again",
      );
    }
    since += 1;
    if (since % APPLY_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return { identity: held.identity, state };
}
