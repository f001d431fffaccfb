import type { Topic } from "#shared/registry/command.ts";
import type { Touched } from "#shared/registry/reducers/outcome.ts";
import { versionKey, type RegistryState } from "#shared/registry/state.ts";

/**
 * Index of a record's last change, 0 when there is no such record; without an id, of the topic's last change. This is what
 * every dialect's ETag says and what If-Match compares.
 */
export function versionOf(state: Readonly<RegistryState>, topic: Topic, id = ""): number {
  const record = state.versions.get(versionKey(topic, id));
  return record ?? (id === "" ? state.topicVersions[topic] : 0);
}

/** Notes what the command at the state's index has changed. */
export function versionsAfter(state: RegistryState, touched: readonly Touched[]): void {
  for (const { topic, op, id } of touched) {
    state.topicVersions[topic] = state.index;
    if (op === "set") state.versions.set(versionKey(topic, id), state.index);
    else state.versions.delete(versionKey(topic, id));
  }
}
