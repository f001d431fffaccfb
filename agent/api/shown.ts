import type { FastifyRequest } from "fastify";

import type { Topic } from "#shared/registry/command.ts";
import { versionKey, type RegistryState } from "#shared/registry/state.ts";

/** What one request is shown: the topics, or the record that its path names. */
export type Subject =
  | { readonly kind: "topics"; readonly topics: readonly Topic[]; readonly partly: boolean }
  | { readonly kind: "record"; readonly topic: Topic; readonly id: string };

/** Null for routes that show nothing of the registry. */
export function subjectOf({ routeOptions, params }: FastifyRequest): Subject | null {
  const { shows } = routeOptions.config;
  if (shows === undefined) return null;
  if ("topics" in shows) return { kind: "topics", topics: shows.topics, partly: shows.partly === true };
  const { topic, param } = shows.record;
  return { kind: "record", topic, id: (params as Readonly<Record<string, string>>)[param] ?? "" };
}

/** The names under which changes of the subject are announced. */
export function watchedNames(subject: Subject): readonly string[] {
  return subject.kind === "topics" ? subject.topics : [versionKey(subject.topic, subject.id)];
}

/**
 * Index of the last change of what is shown; never too early. Of a record that does not exist (any more) nobody knows when
 * that came about: then it is the last change of its topic.
 */
export function lastChange(state: Readonly<RegistryState>, subject: Subject): number {
  if (subject.kind === "topics")
    return Math.max(...subject.topics.map((topic) => state.topicVersions[topic]));
  return versionOfRecord(state, subject) ?? state.topicVersions[subject.topic];
}

/** The version that an ETag may stand for: the whole answer is a function of it. Null when there is none. */
export function versionShown(state: Readonly<RegistryState>, subject: Subject): number | null {
  if (subject.kind === "record") return versionOfRecord(state, subject);
  return subject.partly ? null : lastChange(state, subject);
}

function versionOfRecord(
  { versions }: Readonly<RegistryState>,
  { topic, id }: { readonly topic: Topic; readonly id: string },
): number | null {
  return versions.get(versionKey(topic, id)) ?? null;
}
