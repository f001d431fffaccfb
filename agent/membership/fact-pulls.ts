import type { Log } from "#agent/ports/log.ts";
import type { Transport, Wire } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

import { isNewer } from "./fact-versions.ts";
import type { Version } from "./wire.ts";

const PULL_TIMEOUT_MS = 5000;

/** What pulls ask of the one that keeps the reports. */
interface Keeper {
  /** Whether that report would be kept if it were here. */
  wants(host: MemberId, version: Version): boolean;
  /** Keeps what is sound and newer of an answer; returns whose reports those were. */
  take(from: MemberId, answer: Wire): ReadonlySet<MemberId>;
}

/** Fetches reports that peers told of: at most one question to each peer at a time, and no report from two at once. */
export class FactPulls {
  readonly #deps: { readonly transport: Transport; readonly log: Log; readonly keeper: Keeper };
  /** What each peer said that it has, and was not asked for yet. A peer is here as long as it is being asked. */
  readonly #offers = new Map<MemberId, Map<MemberId, Version>>();
  /** What is on its way here, so that the same is not pulled from two. */
  readonly #coming = new Map<MemberId, Version>();

  constructor(deps: { readonly transport: Transport; readonly log: Log; readonly keeper: Keeper }) {
    this.#deps = deps;
  }

  offered(from: MemberId, versions: Readonly<Record<MemberId, Version>>): void {
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
    const { transport, log, keeper } = this.#deps;
    try {
      const options = { timeoutMs: PULL_TIMEOUT_MS };
      const answer = await transport.request(from, "bulk", "facts.pull", { peers: wanted }, options);
      const got = keeper.take(from, answer);
      return wanted.filter((host) => got.has(host)).length;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      log.debug({ from, err: error }, "host facts could not be pulled");
      return 0;
    }
  }

  #lacks(host: MemberId, version: Version): boolean {
    const coming = this.#coming.get(host);
    return this.#deps.keeper.wants(host, version) && (coming === undefined || isNewer(version, coming));
  }
}
