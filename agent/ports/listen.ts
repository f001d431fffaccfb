/** One place where the REST API listens: port 0 lets the system choose, 0.0.0.0 and :: take every address of the host. */
export type ApiListener =
  | {
      readonly type: "tcp";
      readonly scheme: "https" | "http";
      readonly address: string;
      readonly port: number;
    }
  | { readonly type: "unix"; readonly path: string };
