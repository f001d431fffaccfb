import { pino, stdSerializers, stdTimeFunctions, type DestinationStream, type Logger } from "pino";
import pretty from "pino-pretty";

import type { Log } from "#agent/ports/log.ts";

import { Lines } from "./lines.ts";
import { maskSecrets } from "./mask.ts";

/** The agent's log: one event per line on stdout, which systemd hands to the journal. */
export interface RootLog extends Log {
  /** The last words of a process that cannot go on. */
  fatal(fields: object, text: string): void;
}

export interface LogOptions {
  readonly level: "trace" | "debug" | "info" | "warn" | "error";
  readonly format: "auto" | "json" | "pretty";
  /** Name of this host, on every line. */
  readonly host: string;
}

/**
 * Makes the root logger; each part of the agent gets a `child({ part })`. Warnings and worse are written before the call
 * returns, the rest a moment later (lines.ts); neither is lost when the process ends in any way that it notices. Worker threads of
 * pino are not used: they do not survive bundling, and lose the last lines of a crash.
 */
export function createLog(options: LogOptions, destination?: DestinationStream): RootLog {
  const readable = options.format === "pretty" || (options.format === "auto" && process.stdout.isTTY);
  const stdout = destination ?? pino.destination({ dest: 1, sync: true });
  const lines = new Lines(stdout);
  if (destination === undefined) process.on("exit", () => lines.flush());
  const logger: Logger = pino(
    {
      level: options.level,
      base: { pid: process.pid, host: options.host },
      timestamp: stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: maskSecrets,
      },
      serializers: { err: stdSerializers.err, error: stdSerializers.err },
    },
    readable
      ? pretty({ sync: true, destination: stdout, ignore: "pid,host", colorize: process.stdout.isTTY })
      : lines,
  );
  // Pino formats the fields of a line but not those of a child; children inherit this method from their parent.
  // oxlint-disable-next-line typescript/unbound-method -- called with the right `this` below
  const makeChild = logger.child;
  logger.child = function (this: Logger, fields: object, ...rest: never[]) {
    return makeChild.call(this, maskSecrets(fields), ...rest);
  } as typeof logger.child;
  return logger;
}
