import { Value } from "typebox/value";

import { assert } from "#shared/lib/assert.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { byText } from "#shared/lib/order.ts";

import { type Entry, VoterConfig } from "./messages.ts";
import { isJoint } from "./quorum.ts";

/** Before anything is known: nobody votes, so nobody can be elected. */
const NOBODY: VoterConfig = { voters: [], outgoing: [], learners: [] };

/** The text of a `config` entry. */
export function encodeConfig(config: VoterConfig): string {
  return JSON.stringify(config);
}

/** The configuration in a `config` entry's text; null when it is none, so that a peer cannot plant a broken one. */
export function decodeConfig(data: string): VoterConfig | null {
  try {
    const value: unknown = JSON.parse(data);
    return Value.Check(VoterConfig, value) && value.voters.length > 0 ? value : null;
  } catch {
    return null;
  }
}

/** What somebody wants the configuration to become. */
export interface ConfigTarget {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

/**
 * The configuration to append next on the way from a settled one to the target, or why there is none.
 *
 * Invariant (dissertation §4.1, §4.3): when the voters differ by more than one, old and new majorities might not overlap, so
 * the change goes through a joint configuration; otherwise one step is enough.
 */
export function planChange(
  current: VoterConfig,
  target: ConfigTarget,
): VoterConfig | "no_voters" | "unchanged" {
  assert(!isJoint(current), "a change starts from a settled configuration");
  const voters = distinct(target.voters);
  const learners = distinct(target.learners).filter((member) => !voters.includes(member));
  if (voters.length === 0) return "no_voters";
  if (sameMembers(voters, current.voters) && sameMembers(learners, current.learners)) return "unchanged";
  const added = voters.filter((member) => !current.voters.includes(member)).length;
  const removed = current.voters.filter((member) => !voters.includes(member)).length;
  const outgoing = added + removed > 1 ? [...current.voters] : [];
  return { voters, outgoing, learners };
}

/** The configuration that ends a joint change. */
export function settled(joint: VoterConfig): VoterConfig {
  return { voters: joint.voters, outgoing: [], learners: joint.learners };
}

function distinct(members: readonly MemberId[]): MemberId[] {
  return [...new Set(members)].sort(byText);
}

function sameMembers(a: readonly MemberId[], b: readonly MemberId[]): boolean {
  return a.length === b.length && a.every((member) => b.includes(member));
}

interface Since {
  readonly index: number;
  readonly config: VoterConfig;
}

/**
 * Which configuration holds from which index on. A configuration counts from the moment it is in the log, committed or not
 * (§4.1), so cutting off the log's tail must bring back the one before.
 */
export class ConfigHistory {
  #since: Since[] = [{ index: 0, config: NOBODY }];

  /** The newest configuration in the log. */
  get current(): VoterConfig {
    return this.#newest.config;
  }

  /** The index it came from: of its entry, or of the snapshot that held it. */
  get currentIndex(): number {
    return this.#newest.index;
  }

  get #newest(): Since {
    const newest = this.#since.at(-1);
    assert(newest !== undefined, "there is always a configuration");
    return newest;
  }

  /** A snapshot's configuration holds from its index on; what was committed before it stays known until it is installed. */
  restored(index: number, config: VoterConfig): void {
    this.#since.push({ index, config });
  }

  /** Takes note of an entry that was just appended. */
  appended(entry: Entry): void {
    if (entry.kind !== "config") return;
    const config = decodeConfig(entry.data);
    assert(config !== null, "a config entry was checked before it was appended");
    this.#since.push({ index: entry.index, config });
  }

  /** The log lost this index and everything after it. */
  truncated(from: number): void {
    while (this.#since.length > 1 && this.currentIndex >= from) this.#since.pop();
  }

  /** The configuration as of an index that has not been compacted away. */
  at(index: number): VoterConfig {
    return (this.#since.findLast((since) => since.index <= index) ?? this.#newest).config;
  }

  /** Nobody will ask for configurations older than the one at this index. */
  compacted(index: number): void {
    const keep = this.#since.findLastIndex((since) => since.index <= index);
    if (keep > 0) this.#since.splice(0, keep);
  }
}
