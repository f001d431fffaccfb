import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";

import type { FastifyInstance } from "fastify";

import { markUnixConnection } from "#agent/api/callers.ts";
import type { TlsIdentity } from "#agent/api/certificate.ts";
import { listenOnUnixSocket } from "#agent/api/unix-socket.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { ApiListener } from "#agent/ports/listen.ts";
import type { Log } from "#agent/ports/log.ts";
import { HTTP_CONNECTIONS_MAX, HTTP_HEADER_BYTES_MAX } from "#shared/lib/limits.ts";

interface Deps {
  readonly app: FastifyInstance;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ListenerOptions {
  readonly listen: readonly ApiListener[];
  /** Needed for https only. */
  readonly tls: TlsIdentity | null;
  /** Addresses of this host, to tell where a wildcard can be reached. Without any, loopback is told. */
  readonly hostAddresses: () => readonly string[];
}

/** Longest a request may take to arrive, its headers included. Milliseconds. */
const REQUEST_MS_MAX = 30_000;
const HEADERS_MS_MAX = 10_000;
/** How often those limits are enforced. Milliseconds. */
const CHECK_MS = 2000;
/** A connection without a request is closed after this long. Milliseconds. */
const KEEP_ALIVE_MS = 75_000;

/** Every port and socket of the REST API; all of them serve the same app. */
export class Listeners {
  readonly #deps: Deps;
  readonly #options: ListenerOptions;
  readonly #servers: { readonly server: Server; readonly listen: ApiListener }[] = [];
  readonly #files: AsyncDisposable[] = [];
  readonly #open = new Set<ServerResponse>();
  #closing = false;

  constructor(deps: Deps, options: ListenerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Opens all or none. Throws an Error that names the listener that could not be opened. */
  async start(): Promise<void> {
    await this.#deps.app.ready();
    for (const listen of this.#options.listen) {
      try {
        await this.#openOne(listen);
      } catch (error) {
        await this.close(0);
        throw new Error(`cannot listen on ${describe(listen)}: ${messageOf(error)}`, { cause: error });
      }
    }
    this.#deps.log.info({ urls: this.urls, sockets: this.sockets }, "api listens");
  }

  /** Where the API answers, real ports and addresses filled in: `https://10.0.0.1:9443`. Unix sockets are not URLs. */
  get urls(): readonly string[] {
    return this.#servers.flatMap(({ server, listen }) => {
      if (listen.type === "unix") return [];
      const { port } = server.address() as AddressInfo;
      return this.#reachable(listen.address).map((address) => `${listen.scheme}://${inUrl(address)}:${port}`);
    });
  }

  /** Paths of the unix sockets. */
  get sockets(): readonly string[] {
    return this.#servers.flatMap(({ listen }) => (listen.type === "unix" ? [listen.path] : []));
  }

  /**
   * Takes no new connections, lets running requests finish for at most that long, then cuts the rest. Event streams are
   * ended at once. Milliseconds.
   */
  async close(deadlineMs: number): Promise<void> {
    this.#closing = true;
    for (const response of this.#open) closeAfter(response);
    await this.#takeInWaiting();
    const closed = this.#servers.map(({ server }) => stop(server));
    const ended = Promise.all([...closed, this.#deps.app.close()]);
    const finished = new AbortController();
    const deadline = this.#cutAt(deadlineMs, finished.signal);
    await ended;
    finished.abort();
    await deadline;
  }

  /**
   * The system lets callers in before this process knows of them, and closing the door hangs up on those. Without its file
   * nobody can come to a unix socket any more; one turn of the loop then takes in all who did.
   */
  async #takeInWaiting(): Promise<void> {
    for (const file of this.#files) await file[Symbol.asyncDispose]();
    await nextTurn();
  }

  async #cutAt(deadlineMs: number, finished: AbortSignal): Promise<void> {
    await this.#deps.clock.sleep(deadlineMs, finished).catch(() => undefined);
    if (finished.aborted) return;
    for (const { server } of this.#servers) server.closeAllConnections();
  }

  async #openOne(listen: ApiListener): Promise<void> {
    const server = this.#createServer(listen);
    if (listen.type === "unix") {
      server.on("connection", markUnixConnection);
      this.#files.push(await listenOnUnixSocket(server, listen.path));
    } else {
      await listenOnPort(server, listen.address, listen.port);
    }
    // An error of a listening socket (out of file descriptors) passes; the server goes on.
    server.on("error", (err) => this.#deps.log.error({ err, listen }, "api listener"));
    this.#servers.push({ server, listen });
  }

  #createServer(listen: ApiListener): Server {
    const handle = (request: IncomingMessage, response: ServerResponse): void => {
      this.#track(response);
      this.#deps.app.routing(request, response);
    };
    const options = {
      maxHeaderSize: HTTP_HEADER_BYTES_MAX,
      requestTimeout: REQUEST_MS_MAX,
      headersTimeout: HEADERS_MS_MAX,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_MS,
    };
    const server = this.#isTls(listen)
      ? createHttpsServer(
          { ...options, ...this.#tlsOptions(), minVersion: "TLSv1.2", handshakeTimeout: HEADERS_MS_MAX },
          handle,
        )
      : createHttpServer(options, handle);
    server.maxConnections = HTTP_CONNECTIONS_MAX;
    server.on("clientError", answerUnreadable);
    return server;
  }

  #isTls(listen: ApiListener): boolean {
    return listen.type === "tcp" && listen.scheme === "https";
  }

  #tlsOptions(): { readonly cert: string; readonly key: string } {
    const { tls } = this.#options;
    if (tls === null) throw new Error("no certificate was given");
    return { cert: tls.certificate, key: tls.key };
  }

  #track(response: ServerResponse): void {
    if (this.#closing) closeAfter(response);
    this.#open.add(response);
    response.on("close", () => this.#open.delete(response));
  }

  #reachable(address: string): readonly string[] {
    if (address !== "0.0.0.0" && address !== "::") return [address];
    const ipv4Only = address === "0.0.0.0";
    const usable = this.#options.hostAddresses().filter((one) => !(ipv4Only && one.includes(":")));
    return usable.length > 0 ? usable : [ipv4Only ? "127.0.0.1" : "::1"];
  }
}

/** The caller learns with its answer that this connection takes no other request. */
function closeAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader("connection", "close");
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
}

function listenOnPort(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, ipv6Only: false }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** What cannot even be read as HTTP: too many headers, too slow, or no HTTP at all. It belongs to no dialect. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === "ECONNRESET" || error.code?.startsWith("ERR_SSL")) {
    socket.destroy();
    return;
  }
  const [status, code, message] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? (["431 Request Header Fields Too Large", "too_large", "the headers are too large"] as const)
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? (["408 Request Timeout", "bad_request", "the request took too long to arrive"] as const)
        : (["400 Bad Request", "bad_request", "this is no HTTP request"] as const);
  const body = JSON.stringify({ error: { code, message, facts: {} } });
  const head = [
    `HTTP/1.1 ${status}`,
    "connection: close",
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

function describe(listen: ApiListener): string {
  return listen.type === "unix"
    ? `unix:${listen.path}`
    : `${listen.scheme}://${inUrl(listen.address)}:${listen.port}`;
}

function inUrl(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
