import { execFile } from "node:child_process";

import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";

/** Where the service manager listens, and how often it wants to hear from us; null for "never". */
export interface NotifySettings {
  /** Path of a unix datagram socket, or `@name` for an abstract one. */
  readonly socket: string;
  /** The service is killed when it is silent for this long. Milliseconds. */
  readonly watchdogMs: number | null;
}

/**
 * What the service manager says in the environment: sd_notify(3), sd_watchdog_enabled(3). Null when nobody listens.
 * `WATCHDOG_PID` names the process that is meant; another one's watchdog is none of ours.
 */
export function notifySettings(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): NotifySettings | null {
  const socket = env["NOTIFY_SOCKET"];
  if (socket === undefined || socket === "") return null;
  const usec = Number(env["WATCHDOG_USEC"] ?? "0");
  const meant = env["WATCHDOG_PID"] === undefined || Number(env["WATCHDOG_PID"]) === pid;
  return { socket, watchdogMs: meant && Number.isFinite(usec) && usec > 0 ? usec / 1000 : null };
}

/** Variables that only this process may act on; they are taken out of the environment that children inherit. */
export const NOTIFY_VARIABLES: readonly string[] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/** Longest a message may take; systemd-notify waits until the manager has read it. */
const MESSAGE_MS_MAX = 5000;

/**
 * Tells systemd how the service is. Node cannot send a unix datagram, so `systemd-notify` does it, one process per
 * message (docs/adr/0005-notify-socket.md). Without a socket every call does nothing.
 */
export class Notifier {
  readonly #deps: { readonly log: Log; readonly clock: Clock };
  readonly #settings: NotifySettings | null;
  #queue: Promise<void> = Promise.resolve();
  #watchdog: Disposable | null = null;

  constructor(deps: { readonly log: Log; readonly clock: Clock }, settings: NotifySettings | null) {
    this.#deps = deps;
    this.#settings = settings;
  }

  /** The service is up. From now on the watchdog is fed at half its time, as long as `healthy` says so. */
  ready(status: string, healthy: () => boolean): Promise<void> {
    const watchdogMs = this.#settings?.watchdogMs ?? null;
    if (watchdogMs !== null) {
      this.#watchdog = this.#deps.clock.every(watchdogMs / 2, () => {
        if (healthy()) void this.#send(["WATCHDOG=1"]);
        else this.#deps.log.error({}, "not healthy, the watchdog is not fed");
      });
    }
    return this.#send(["READY=1", `STATUS=${status}`]);
  }

  /** The service goes down; the watchdog is fed no more, for stopping has a time limit of its own. */
  stopping(): Promise<void> {
    this.#watchdog?.[Symbol.dispose]();
    this.#watchdog = null;
    return this.#send(["STOPPING=1"]);
  }

  /** One message after the other, so that READY never overtakes or is overtaken. A failure is logged, never thrown. */
  #send(variables: readonly string[]): Promise<void> {
    const settings = this.#settings;
    if (settings === null) return Promise.resolve();
    this.#queue = this.#queue.then(() => this.#spawn(settings.socket, variables));
    return this.#queue;
  }

  #spawn(socket: string, variables: readonly string[]): Promise<void> {
    return new Promise((resolve) => {
      const env = { PATH: process.env["PATH"], NOTIFY_SOCKET: socket };
      execFile("systemd-notify", [...variables], { env, timeout: MESSAGE_MS_MAX }, (error) => {
        if (error !== null) this.#deps.log.warn({ err: error, variables }, "systemd could not be notified");
        resolve();
      });
    });
  }
}
