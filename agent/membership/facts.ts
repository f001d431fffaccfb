import type { Log } from "#agent/ports/log.ts";
import type { HostReport } from "#agent/ports/membership.ts";
import type { Transport, Wire } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { HOST_FACTS_BYTES_MAX } from "#shared/lib/limits.ts";
import { BucketHashes, bucketOf } from "#shared/membership/bucket-hashes.ts";
import { Disagreement } from "#shared/membership/disagreement.ts";

import { FactPulls } from "./fact-pulls.ts";
import { isNewer, nextOf } from "./fact-versions.ts";
import {
  factsBatch,
  factsCompare,
  factsDigest,
  factsPull,
  factsRecord,
  type FactsDigest,
  type FactsRecord,
  type Version,
} from "./wire.ts";

/** Peers told of what is new, per round. With three, a change reaches 100 hosts in four steps. */
const FANOUT = 3;
/** Rounds in which each agent passes on what is new. One misses a host in twenty (e⁻³), three one in 8,000 (e⁻⁹). */
const ROUNDS = 3;
const ROUND_PERIOD_MS = 200;
/** Reports in one answer, encoded. A larger rest is asked for anew. */
const BATCH_BYTES_MAX = 1024 * 1024;

interface Kept {
  readonly record: FactsRecord;
  readonly bytes: number;
}

/**
 * What every host says of itself, on every host. One writer each; the newest version wins. Only versions travel unasked;
 * whoever lacks a report pulls it from the one who told of it.
 *
 * A report says who wrote it, and members believe each other in that: reports are passed on by third parties and carry no signature.
 */
export class FactsExchange {
  readonly #deps: { readonly transport: Transport; readonly log: Log; readonly random: () => number };
  readonly #starts: number;
  readonly #onNews: (peer: MemberId) => void;
  readonly #kept = new Map<MemberId, Kept>();
  #members: ReadonlySet<MemberId> = new Set();
  /** Hosts whose newest report is still passed on, and for how many rounds. */
  readonly #news = new Map<MemberId, number>();
  readonly #hashes = new BucketHashes();
  readonly #disagreement = new Disagreement();
  readonly #pulls: FactPulls;
  #version: Version;
  #nextRoundMs = 0;
  #stopped = false;

  constructor(
    deps: { readonly transport: Transport; readonly log: Log; readonly random: () => number },
    options: { readonly starts: number; readonly onNews: (peer: MemberId) => void },
  ) {
    this.#deps = deps;
    this.#starts = options.starts;
    this.#onNews = options.onNews;
    this.#version = [this.#starts, 0];
    this.#pulls = new FactPulls({
      ...deps,
      keeper: {
        wants: (host, version) => this.#wants(host, version),
        take: (from, answer) => this.#take(from, answer),
      },
    });
  }

  start(): void {
    const { transport } = this.#deps;
    transport.onMessage("facts.compare", (from, body) => this.#onCompare(from, body));
    transport.onMessage("facts.digest", (from, body) => this.#onDigest(from, body));
    transport.onRequest("facts.pull", (_from, body) => Promise.resolve(this.#answerPull(body)));
  }

  stop(): void {
    this.#stopped = true;
  }

  setMembers(members: ReadonlySet<MemberId>): void {
    this.#members = members;
    for (const peer of this.#kept.keys()) {
      if (members.has(peer) || peer === this.#deps.transport.self) continue;
      this.#kept.delete(peer);
      this.#hashes.set(peer, null);
      this.#news.delete(peer);
    }
  }

  report(peer: MemberId): HostReport | null {
    return this.#kept.get(peer)?.record.report ?? null;
  }

  version(peer: MemberId): Version | null {
    return this.#kept.get(peer)?.record.version ?? null;
  }

  /** Makes this host's own report known. One that breaks the rules of the wire would be dropped everywhere, so it stays here. */
  publish(report: HostReport): void {
    const { log, transport } = this.#deps;
    const record = {
      version: nextOf(this.#version),
      report: structuredClone(report) as FactsRecord["report"],
    };
    const bytes = sizeOf(record);
    if (!factsRecord.Check(record) || bytes > HOST_FACTS_BYTES_MAX || report.peer !== transport.self) {
      log.error(
        { bytes, errors: factsRecord.Errors(record).slice(0, 3) },
        "own report is not fit to be published",
      );
      return;
    }
    this.#version = record.version;
    this.#keep(transport.self, { record, bytes });
    this.#tellNews();
    this.#onNews(transport.self);
  }

  /** Whether there is nothing to pass on. */
  get quiet(): boolean {
    return this.#news.size === 0;
  }

  /** Passes on what is new. */
  tick(nowMs: number): void {
    if (nowMs < this.#nextRoundMs || this.#news.size === 0) return;
    this.#nextRoundMs = nowMs + ROUND_PERIOD_MS;
    this.#tellNews();
  }

  /** Fingerprint of which reports are here. */
  get fingerprint(): number {
    return this.#hashes.whole;
  }

  /** A peer has said which fingerprint it has. */
  compare(peer: MemberId, fingerprint: number, nowMs: number): void {
    if (this.#stopped || !this.#members.has(peer)) return;
    if (this.#disagreement.seen(fingerprint === this.#hashes.whole, nowMs)) this.#askToCompare(peer);
  }

  /** A peer has come (back): what it has newer is asked for, and the other way round. */
  greet(peer: MemberId, nowMs: number): void {
    if (this.#disagreement.returned(nowMs)) this.#askToCompare(peer);
  }

  #askToCompare(peer: MemberId): void {
    this.#deps.transport.send(peer, "control", "facts.compare", { table: this.#hashes.buckets });
  }

  /** Tells the versions in all parts that differ; the peer answers with what it has newer, and pulls what it lacks. */
  #onCompare(from: MemberId, body: Wire): void {
    if (this.#stopped || !this.#members.has(from)) return;
    if (!factsCompare.Check(body)) {
      this.#deps.log.warn({ from }, "dropped a malformed comparison of host facts");
      return;
    }
    const buckets = this.#hashes.differing(body.table);
    if (buckets.length > 0) this.#sendDigest(from, this.#hostsIn(buckets), buckets);
  }

  #hostsIn(buckets: readonly number[]): MemberId[] {
    const wanted = new Set(buckets);
    return [...this.#kept.keys()].filter((host) => wanted.has(bucketOf(host)));
  }

  #keep(host: MemberId, kept: Kept): void {
    this.#kept.set(host, kept);
    this.#hashes.set(host, kept.record.version.join(" "));
    this.#news.set(host, ROUNDS);
  }

  #tellNews(): void {
    const hosts = [...this.#news.keys()];
    for (const peer of this.#somePeers(FANOUT)) this.#sendDigest(peer, hosts, []);
    for (const [host, rounds] of this.#news) {
      if (rounds > 1) this.#news.set(host, rounds - 1);
      else this.#news.delete(host);
    }
  }

  #sendDigest(to: MemberId, hosts: readonly MemberId[], buckets: readonly number[]): void {
    const versions: Record<MemberId, Version> = {};
    for (const host of hosts) {
      const version = this.version(host);
      if (version !== null) versions[host] = version;
    }
    const digest: FactsDigest = { versions, buckets: [...buckets] };
    this.#deps.transport.send(to, "control", "facts.digest", digest);
  }

  #onDigest(from: MemberId, body: Wire): void {
    if (this.#stopped || !this.#members.has(from)) return;
    if (!factsDigest.Check(body)) {
      this.#deps.log.warn({ from }, "dropped a malformed digest of host facts");
      return;
    }
    const own = body.versions[this.#deps.transport.self];
    if (own !== undefined) this.#outrank(own);
    this.#pulls.offered(from, body.versions);
    const newer = this.#hostsIn(body.buckets).filter((host) => {
      const theirs = body.versions[host];
      const ours = this.version(host);
      return ours !== null && (theirs === undefined || isNewer(ours, theirs));
    });
    if (newer.length > 0) this.#sendDigest(from, newer, []);
  }

  /** The mesh remembers a newer report of this host than it ever made: its count of starts was lost with its disk. */
  #outrank(seen: Version): void {
    if (!isNewer(seen, this.#version)) return;
    this.#version = seen;
    const report = this.report(this.#deps.transport.self);
    if (report !== null) this.publish(report);
  }

  #wants(host: MemberId, version: Version): boolean {
    if (host === this.#deps.transport.self || !this.#members.has(host)) return false;
    const held = this.version(host);
    return held === null || isNewer(version, held);
  }

  /** Keeps what is sound and newer; returns whose reports those were. */
  #take(from: MemberId, answer: Wire): ReadonlySet<MemberId> {
    const got = new Set<MemberId>();
    if (!factsBatch.Check(answer)) {
      this.#deps.log.warn({ from }, "dropped a malformed batch of host facts");
      return got;
    }
    for (const record of answer.records) {
      const bytes = sizeOf(record);
      if (!factsRecord.Check(record) || bytes > HOST_FACTS_BYTES_MAX) {
        this.#deps.log.warn({ from, bytes }, "dropped malformed host facts");
        continue;
      }
      const { peer } = record.report;
      const held = this.version(peer);
      const newer = held === null || isNewer(record.version, held);
      if (!newer || peer === this.#deps.transport.self || !this.#members.has(peer)) continue;
      got.add(peer);
      this.#keep(peer, { record, bytes });
      this.#onNews(peer);
    }
    return got;
  }

  #answerPull(body: Wire): Wire {
    if (!factsPull.Check(body))
      throw new AppError("bad_request", { field: "peers", rule: "must be a list of peer ids" });
    const records: FactsRecord[] = [];
    let bytes = 0;
    for (const peer of body.peers) {
      const kept = this.#kept.get(peer);
      if (kept === undefined) continue;
      if (records.length > 0 && bytes + kept.bytes > BATCH_BYTES_MAX) break;
      bytes += kept.bytes;
      records.push(kept.record);
    }
    return { records };
  }

  #somePeers(count: number): readonly MemberId[] {
    const able = this.#deps.transport.connected().filter((peer) => this.#members.has(peer));
    const chosen: MemberId[] = [];
    while (chosen.length < count && able.length > 0) {
      chosen.push(...able.splice(Math.floor(this.#deps.random() * able.length), 1));
    }
    return chosen;
  }
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
