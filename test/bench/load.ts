import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** One request, sent over and over. */
export interface Shot {
  readonly url: string;
  readonly http1: boolean;
  readonly headers: readonly string[];
  readonly body: Uint8Array | string;
}

export interface Fired {
  readonly perSecond: number;
  /** Milliseconds. */
  readonly latencies: readonly number[];
}

/**
 * Keeps that many clients, a connection each, busy with one request for so many seconds; h2load (nghttp2) is the same generator
 * for HTTP/1.1 and for gRPC, and takes little of the machine for itself. Throws when an answer is not 2xx.
 */
export async function fire(shot: Shot, clients: number, seconds: number): Promise<Fired> {
  const dir = await mkdtemp(join(tmpdir(), "muster-bench-"));
  try {
    const [body, log] = [join(dir, "body"), join(dir, "log")];
    await writeFile(body, shot.body);
    const headers = shot.headers.flatMap((header) => ["-H", header]);
    const args = ["-c", String(clients), "-t", "1", "-D", String(seconds), "-d", body, `--log-file=${log}`];
    await run("h2load", [...args, ...(shot.http1 ? ["--h1"] : []), ...headers, shot.url]);
    const lines = (await readFile(log, "utf8")).trim().split("\n");
    const samples = lines.map((line) => line.split("\t").map(Number) as [number, number, number]);
    const bad = samples.find(([, status]) => status < 200 || status > 299);
    if (bad !== undefined) throw new Error(`${shot.url} answered ${bad[1]}`);
    return { perSecond: samples.length / seconds, latencies: samples.map(([, , us]) => us / 1000) };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
