import type { Log } from "#agent/ports/log.ts";

type Level = "trace" | "debug" | "info" | "warn" | "error";

interface Line {
  readonly level: Level;
  readonly fields: object;
  readonly text: string;
}

/** A log that prints nothing and remembers what was said. Children write into the same list. */
export class RecordingLog implements Log {
  readonly lines: Line[];
  readonly #own: object;

  constructor(lines: Line[] = [], own: object = {}) {
    this.lines = lines;
    this.#own = own;
  }

  trace = (fields: object, text: string): void => this.#add("trace", fields, text);
  debug = (fields: object, text: string): void => this.#add("debug", fields, text);
  info = (fields: object, text: string): void => this.#add("info", fields, text);
  warn = (fields: object, text: string): void => this.#add("warn", fields, text);
  error = (fields: object, text: string): void => this.#add("error", fields, text);

  child(fields: Record<string, unknown>): Log {
    return new RecordingLog(this.lines, { ...this.#own, ...fields });
  }

  /** Lines that contain this text. */
  matching(text: string): readonly Line[] {
    return this.lines.filter((line) => line.text.includes(text));
  }

  #add(level: Level, fields: object, text: string): void {
    this.lines.push({ level, fields: { ...this.#own, ...fields }, text });
  }
}
