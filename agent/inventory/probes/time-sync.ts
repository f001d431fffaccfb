import type { Machine } from "#agent/inventory/machine.ts";
import type { LiveFacts } from "#shared/model/hardware.ts";

/** How long an answer of timedatectl is good: asking costs a process and a bus call. Milliseconds. */
const ASK_AGAIN_MS = 60_000;
const ASK_DEADLINE_MS = 3000;

/** Daemons that keep a clock right, by the folder each has while it runs. */
const DAEMONS = [
  ["/run/chrony", "chrony"],
  ["/run/chronyd", "chrony"],
  ["/run/ntpd.pid", "ntpd"],
  ["/run/systemd/timesync", "systemd-timesyncd"],
] as const;

/** `NTPSynchronized=yes`: the kernel's own flag (adjtimex, STA_UNSYNC), whichever daemon sets it. */
export function parseTimedatectl(text: string): boolean | null {
  const found = /^NTPSynchronized=(yes|no)$/m.exec(text)?.[1];
  return found === undefined ? null : found === "yes";
}

/**
 * Whether something disciplines the clock. The kernel's flag needs a system call that Node does not have; systemd-timesyncd leaves a file,
 * and timedatectl answers for every other daemon.
 */
export class TimeSync {
  readonly #machine: Machine;
  readonly #monotonicMs: () => number;
  #asked: { readonly atMs: number; readonly synchronized: boolean | null } | null = null;

  constructor(machine: Machine, monotonicMs: () => number) {
    this.#machine = machine;
    this.#monotonicMs = monotonicMs;
  }

  async read(): Promise<LiveFacts["clock"]> {
    const source = await this.#daemon();
    if (await this.#machine.exists("/run/systemd/timesync/synchronized"))
      return { synchronized: true, source };
    return { synchronized: await this.#ask(), source };
  }

  async #ask(): Promise<boolean | null> {
    const nowMs = this.#monotonicMs();
    if (this.#asked !== null && nowMs - this.#asked.atMs < ASK_AGAIN_MS) return this.#asked.synchronized;
    const output = await this.#machine.run("timedatectl", ["show", "-p", "NTPSynchronized"], ASK_DEADLINE_MS);
    const synchronized = output === null ? null : parseTimedatectl(output);
    this.#asked = { atMs: nowMs, synchronized };
    return synchronized;
  }

  async #daemon(): Promise<string | null> {
    for (const [path, name] of DAEMONS) if (await this.#machine.exists(path)) return name;
    return null;
  }
}
