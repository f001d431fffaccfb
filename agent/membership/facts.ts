import type { Log } from "#agent/ports/log.ts";
import type { HostReport } from "#agent/ports/membership.ts";
import type { Transport, Wire } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { HOST_FACTS_BYTES_MAX } from "#shared/lib/limits.ts";

import {
  factsBatch,
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
/** How often one peer at random is told everything, so that what was lost on the way comes after all. Milliseconds. */
const FULL_PERIOD_MS = 5000;
const PULL_TIMEOUT_MS = 5000;
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
  /** What each peer said that it has, and was not asked for yet. A peer is here as long as it is being asked. */
  readonly #offers = new Map<MemberId, Map<MemberId, Version>>();
  /** What is on its way here, so that the same is not pulled from two. */
  readonly #coming = new Map<MemberId, Version>();
  #version: Version;
  #nextRoundMs = 0;
  #nextFullMs = 0;
  #stopped = false;

  constructor(
    deps: { readonly transport: Transport; readonly log: Log; readonly random: () => number },
    options: { readonly starts: number; readonly onNews: (peer: MemberId) => void },
  ) {
    this.#deps = deps;
    this.#starts = options.starts;
    this.#onNews = options.onNews;
    this.#version = [this.#starts, 0];
  }

  start(): void {
    const { transport } = this.#deps;
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
    this.#kept.set(transport.self, { record, bytes });
    this.#news.set(transport.self, ROUNDS);
    this.#tellNews();
    this.#onNews(transport.self);
  }

  /** Passes on what is new, and now and then everything. */
  tick(nowMs: number): void {
    if (nowMs >= this.#nextRoundMs && this.#news.size > 0) {
      this.#nextRoundMs = nowMs + ROUND_PERIOD_MS;
      this.#tellNews();
    }
    if (nowMs < this.#nextFullMs) return;
    this.#nextFullMs = nowMs + FULL_PERIOD_MS;
    for (const peer of this.#somePeers(1)) this.greet(peer);
  }

  /** Tells one peer all versions; it answers with what it has newer, and pulls what it lacks. */
  greet(peer: MemberId): void {
    this.#sendDigest(peer, [...this.#kept.keys()], true);
  }

  #tellNews(): void {
    const hosts = [...this.#news.keys()];
    for (const peer of this.#somePeers(FANOUT)) this.#sendDigest(peer, hosts, false);
    for (const [host, rounds] of this.#news) {
      if (rounds > 1) this.#news.set(host, rounds - 1);
      else this.#news.delete(host);
    }
  }

  #sendDigest(to: MemberId, hosts: readonly MemberId[], full: boolean): void {
    const versions: Record<MemberId, Version> = {};
    for (const host of hosts) {
      const version = this.version(host);
      if (version !== null) versions[host] = version;
    }
    const digest: FactsDigest = { versions, full };
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
    this.#offered(from, body.versions);
    if (!body.full) return;
    const newer = [...this.#kept].filter(([host, { record }]) => {
      const theirs = body.versions[host];
      return theirs === undefined || isNewer(record.version, theirs);
    });
    if (newer.length > 0)
      this.#sendDigest(
        from,
        newer.map(([host]) => host),
        false,
      );
  }

  /** The mesh remembers a newer report of this host than it ever made: its count of starts was lost with its disk. */
  #outrank(seen: Version): void {
    if (!isNewer(seen, this.#version)) return;
    this.#version = seen;
    const report = this.report(this.#deps.transport.self);
    if (report !== null) this.publish(report);
  }

  #offered(from: MemberId, versions: Readonly<Record<MemberId, Version>>): void {
    const offers = this.#offers.get(from);
    if (offers !== undefined) {
      for (const [host, version] of Object.entries(versions)) offers.set(host, version);
      return;
    }
    this.#offers.set(from, new Map(Object.entries(versions)));
    void this.#pullAll(from).finally(() => this.#offers.delete(from));
  }

  /** Asks until nothing that was offered, also meanwhile, is lacking, or the peer gives no more. */
  async #pullAll(from: MemberId): Promise<void> {
    for (;;) {
      const wanted = [...(this.#offers.get(from) ?? [])].filter(([host, version]) =>
        this.#lacks(host, version),
      );
      if (wanted.length === 0) return;
      for (const [host, version] of wanted) this.#coming.set(host, version);
      const got = await this.#pull(
        from,
        wanted.map(([host]) => host),
      );
      for (const [host] of wanted) this.#coming.delete(host);
      if (got === 0) return;
    }
  }

  /** Returns how many of the wanted reports came. */
  async #pull(from: MemberId, wanted: readonly MemberId[]): Promise<number> {
    const { transport, log } = this.#deps;
    try {
      const options = { timeoutMs: PULL_TIMEOUT_MS };
      const answer = await transport.request(from, "bulk", "facts.pull", { peers: wanted }, options);
      const got = this.#take(from, answer);
      return wanted.filter((host) => got.has(host)).length;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      log.debug({ from, err: error }, "host facts could not be pulled");
      return 0;
    }
  }

  #lacks(host: MemberId, version: Version): boolean {
    if (host === this.#deps.transport.self || !this.#members.has(host)) return false;
    const held = this.version(host);
    const coming = this.#coming.get(host);
    return (held === null || isNewer(version, held)) && (coming === undefined || isNewer(version, coming));
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
      this.#kept.set(peer, { record, bytes });
      this.#news.set(peer, ROUNDS);
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

function isNewer(a: Version, b: Version): boolean {
  return a[0] === b[0] ? a[1] > b[1] : a[0] > b[0];
}

function nextOf([starts, count]: Version): Version {
  return [starts, count + 1];
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
