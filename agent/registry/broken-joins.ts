import type { Duty, Look } from "./duties.ts";
import type { Log } from "#agent/ports/log.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Command } from "#shared/registry/command.ts";
import { hasPlace } from "#shared/registry/queries/members.ts";
import type { Member } from "#shared/registry/state.ts";

interface Deps {
  readonly log: Log;
  readonly submit: (command: Command) => Promise<unknown>;
}

/** A member as it was when this leader first saw it joining, and when that was. Monotonic. */
interface Seen {
  readonly record: Member;
  readonly sinceMs: number;
}

/**
 * Joins that broke off leave nothing behind: members that stay `joining` for too long are removed. One that joined in a place
 * that was there before (a failed member's, or its own) is marked as failed instead, so that uid and registration wait for the next
 * who takes it.
 *
 * Time counts only as this leader sees it pass. The registry's own `addedAt` is a stamp of some leader's wall clock: by a clock that
 * was set ahead, every join would have broken off long ago, and by one that was set back, none for hours.
 */
export class BrokenJoins implements Duty {
  readonly #deps: Deps;
  readonly #self: MemberId;
  readonly #joiningMs: number;
  readonly #seen = new Map<MemberId, Seen>();
  #ending = false;

  constructor(deps: Deps, options: { readonly self: MemberId; readonly joiningMs: number }) {
    this.#deps = deps;
    this.#self = options.self;
    this.#joiningMs = options.joiningMs;
  }

  /** One at a time; the next look sees what is left. */
  look({ state, nowMs }: Look): void {
    for (const [peer, { record }] of this.#seen)
      if (state.members.get(peer) !== record) this.#seen.delete(peer);
    for (const record of state.members.values()) {
      const { peer, status, failedAt } = record;
      if (status !== "joining" || peer === this.#self || failedAt !== null) continue;
      const seen = this.#seen.get(peer) ?? { record, sinceMs: nowMs };
      this.#seen.set(peer, seen);
      if (nowMs - seen.sinceMs >= this.#joiningMs && !this.#ending) this.#end(record);
    }
  }

  rest(): void {
    this.#seen.clear();
  }

  #end(record: Member): void {
    const { log, submit } = this.#deps;
    const { peer } = record;
    const keeps = hasPlace(record);
    this.#ending = true;
    log.info({ peer, keeps }, "ending a join that broke off");
    void submit(keeps ? { type: "member.set_failed", peer, failed: true } : { type: "member.remove", peer })
      .catch((error: unknown) => log.warn({ peer, err: error }, "could not end a broken join"))
      .finally(() => {
        this.#ending = false;
      });
  }
}
