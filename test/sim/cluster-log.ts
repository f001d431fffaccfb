import type { Log } from "#agent/ports/log.ts";

/** A log that nobody reads. */
export class SilentLog implements Log {
  trace(): void {}
  debug(): void {}
  info(): void {}
  warn(): void {}
  error(): void {}
  child(): Log {
    return this;
  }
}
