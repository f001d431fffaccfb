import type { Log } from "#agent/ports/log.ts";

type Level = "trace" | "debug" | "info" | "warn" | "error";

/** A log that prints nothing and remembers what was said. Children write into the same list. */
export class RecordingLog implements Log {
  readonly lines: { readonly level: Level; readonly fields: object; readonly text: string }[] = [];

  trace = (fields: object, text: string): void => this.#add("trace", fields, text);
  debug = (fields: object, text: string): void => this.#add("debug", fields, text);
  info = (fields: object, text: string): void => this.#add("info", fields, text);
  warn = (fields: object, text: string): void => this.#add("warn", fields, text);
  error = (fields: object, text: string): void => this.#add("error", fields, text);

  child(): Log {
    return this;
  }

  /** Lines that contain this text. */
  matching(
    text: string,
  ): readonly { readonly level: Level; readonly fields: object; readonly text: string }[] {
    return this.lines.filter((line) => line.text.includes(text));
  }

  #add(level: Level, fields: object, text: string): void {
    this.lines.push({ level, fields, text });
  }
}
