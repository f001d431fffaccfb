import type { Duty, Look } from "./duties.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Command } from "#shared/registry/command.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly submit: (command: Command) => Promise<unknown>;
}

/** Joins that broke off leave nothing behind: members that stay `joining` for too long are removed. */
export class BrokenJoins implements Duty {
  readonly #deps: Deps;
  readonly #self: MemberId;
  readonly #joiningMs: number;
  #removing = false;

  constructor(deps: Deps, options: { readonly self: MemberId; readonly joiningMs: number }) {
    this.#deps = deps;
    this.#self = options.self;
    this.#joiningMs = options.joiningMs;
  }

  /** One at a time; the next look sees what is left. */
  look({ state }: Look): void {
    const { clock, log, submit } = this.#deps;
    if (this.#removing) return;
    const oldest = clock.now() - this.#joiningMs;
    for (const { peer, status, addedAt } of state.members.values()) {
      if (status !== "joining" || addedAt > oldest || peer === this.#self) continue;
      this.#removing = true;
      log.info({ peer }, "removing a member whose join broke off");
      void submit({ type: "member.remove", peer })
        .catch((error: unknown) => log.warn({ peer, err: error }, "could not remove a broken join"))
        .finally(() => {
          this.#removing = false;
        });
      return;
    }
  }

  rest(): void {
    // What it waits for is in the registry; nothing is remembered here.
  }
}
