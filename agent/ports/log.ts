/** Structured log, as far as the parts of the agent need it (pino's shape). Fields first, then a short constant text. */
export interface Log {
  trace(fields: object, text: string): void;
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
  child(fields: Record<string, unknown>): Log;
}
