import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Registry } from "#agent/ports/registry.ts";
import { announcement, type OwnFacts } from "#shared/bootstrap/announcement.ts";
import { AppError } from "#shared/errors/app-error.ts";

/** Longest one command may take. Milliseconds. */
const COMMIT_MS_MAX = 15_000;
/** Wait after the first vain try; doubles up to the longest. Milliseconds. */
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 30_000;

/** What an announcer needs of the rest of the agent. */
export interface AnnouncerDeps {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
  /** What this host is now; null as long as its bootstrap is not `completed`. */
  readonly own: () => OwnFacts | null;
}

/**
 * Keeps this host's own record among the members true: takes it from `joining` to `active`, and renews addresses, URLs and
 * version when they changed. Says nothing before bootstrap is `completed`: an active member may become a voter, and a
 * voter's log must not be taken back.
 */
export class Announcer implements AsyncDisposable {
  readonly #deps: AnnouncerDeps;
  readonly #stop = new AbortController();
  readonly #watches: Disposable[] = [];
  #work: Promise<void> | null = null;
  #again = false;

  constructor(deps: AnnouncerDeps) {
    this.#deps = deps;
  }

  /** Begins, and goes on whenever the registry learns of this host: after a start it may not have its record yet. */
  start(): void {
    const { registry, own } = this.#deps;
    this.#watches.push(
      registry.onChange((changes) => {
        // Asked only then: what this host is costs more to find out than a change to apply.
        if (!changes.some(({ topic }) => topic === "members")) return;
        const peer = own()?.peer;
        if (changes.some(({ topic, id }) => topic === "members" && id === peer)) this.check();
      }),
      registry.onReset(() => this.check()),
    );
    this.check();
  }

  /** Compares and tells until the record is true. Call it whenever something of this host may have changed. */
  check(): void {
    this.#again = true;
    this.#work ??= this.#run().finally(() => {
      this.#work = null;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#stop.abort();
    await this.#work;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { clock, log } = this.#deps;
    const { signal } = this.#stop;
    let waitMs = FIRST_WAIT_MS;
    while (this.#again && !signal.aborted) {
      this.#again = false;
      try {
        await this.#tell(signal);
        waitMs = FIRST_WAIT_MS;
      } catch (error) {
        if (signal.aborted) return;
        this.#again = true;
        log.warn({ err: error, waitMs }, "this host's record among the members could not be renewed yet");
        await clock.sleep(waitMs, signal).catch(() => undefined);
        waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
      }
    }
  }

  async #tell(signal: AbortSignal): Promise<void> {
    const { registry, own, log } = this.#deps;
    for (;;) {
      const facts = own();
      const command = facts === null ? null : announcement(registry.state.members.get(facts.peer), facts);
      if (command === null) return;
      const { result } = await registry.submit(command, { by: "agent", timeoutMs: COMMIT_MS_MAX, signal });
      if (!result.ok) throw AppError.of(result.refusal);
      log.info({ command: command.type }, "this host's record among the members is renewed");
    }
  }
}
