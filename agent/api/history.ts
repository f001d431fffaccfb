import type { Queries } from "#agent/api/ports.ts";
import type { Expectation } from "#shared/registry/command.ts";
import { versionOf } from "#shared/registry/versions.ts";

/** Characters of the cluster's id that tell one cluster from another. */
const ID_CHARS = 8;

/**
 * Indexes mean something within one history only: a new cluster begins a new one, and so does a recovery, which may have lost
 * the newest entries. So what callers keep (ETags, ids of events) is an index stamped with its history:
 * `CLUSTER-INCARNATION-INDEX`, the same on all agents.
 */
export class History {
  readonly #queries: Pick<Queries, "registry">;
  readonly #incarnation: () => number | null;

  constructor(deps: {
    readonly queries: Pick<Queries, "registry">;
    readonly incarnation: () => number | null;
  }) {
    this.#queries = deps.queries;
    this.#incarnation = deps.incarnation;
  }

  /** Null while this agent does not know which cluster it is in. Visible ASCII without quotes. */
  stamp(index: number): string | null {
    const name = this.#name();
    return name === null ? null : `${name}-${index}`;
  }

  /** The index of a stamp; null for one of another history, or no stamp at all. */
  indexOf(stamp: string): number | null {
    const name = this.#name();
    if (name === null || !stamp.startsWith(`${name}-`)) return null;
    const digits = stamp.slice(name.length + 1);
    return /^\d{1,15}$/.test(digits) ? Number(digits) : null;
  }

  /** Whether what is expected is certainly past: this agent may be behind the others, never ahead, and versions only grow. */
  isPast({ topic, id, version }: Expectation): boolean {
    return versionOf(this.#queries.registry, topic, id) > version;
  }

  #name(): string | null {
    const { cluster } = this.#queries.registry;
    const incarnation = this.#incarnation();
    if (cluster === null || incarnation === null) return null;
    return `${encodeURIComponent(cluster.id.slice(0, ID_CHARS))}-${incarnation}`;
  }
}
