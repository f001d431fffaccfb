import { LocalRegistry } from "#test/support/local-registry.ts";

/** A registry that is entered and left without anything happening. */
export function ownedRegistry() {
  const nothing = (): Promise<void> => Promise.resolve();
  const entered = { found: nothing, follow: nothing, resume: nothing, stop: nothing, forget: nothing };
  const recover = (_cluster: unknown, _state: unknown, onDurable: () => void): Promise<void> => {
    onDurable();
    return Promise.resolve();
  };
  return Object.assign(new LocalRegistry(), { ...entered, recover, copy: () => Promise.resolve(null) });
}
