/** What is measured of one answered HTTP request. */
export interface AnsweredRequest {
  /** `redis`, `orchestrator`, `native`, …; `none` where no route was meant. */
  readonly dialect: string;
  readonly method: string;
  readonly status: number;
  readonly seconds: number;
}

/** This agent in numbers, for a monitoring system that asks now and then. */
export interface Metrics {
  /** Media type of what `render` gives. */
  readonly contentType: string;
  /** All numbers as of now, in the text format of Prometheus. */
  render(): Promise<string>;
  answered(request: AnsweredRequest): void;
}
