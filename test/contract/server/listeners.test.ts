import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { Agent, type IncomingMessage, request as httpRequest, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { ensureCertificate } from "#agent/api/certificate.ts";
import { Listeners } from "#agent/api/listeners.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import type { ApiListener } from "#agent/ports/listen.ts";
import { ADMIN, FakeApi } from "#test/support/fake-api.ts";

const HTTP: ApiListener = { type: "tcp", scheme: "http", address: "127.0.0.1", port: 0 };
const HTTPS: ApiListener = { type: "tcp", scheme: "https", address: "127.0.0.1", port: 0 };

let directory: string;
let api: FakeApi;
const opened: Listeners[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "muster-api-"));
  api = new FakeApi();
});
afterEach(async () => {
  for (const listeners of opened.splice(0)) await listeners.close(0);
  await api[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function open(
  listen: readonly ApiListener[],
  hostAddresses: readonly string[] = [],
): Promise<Listeners> {
  const tls = await ensureCertificate({ directory, hostname: "host-1", addresses: ["10.0.0.1"] });
  const deps = { app: api.app, clock: new SystemClock(), log: api.log };
  const listeners = new Listeners(deps, { listen, tls, hostAddresses: () => hostAddresses });
  await listeners.start();
  opened.push(listeners);
  return listeners;
}

function portOf(url: string | undefined): number {
  return Number(new URL(url ?? "").port);
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
}

async function call(request: typeof httpRequest, options: RequestOptions & { ca?: string }): Promise<Answer> {
  const sent = request(options);
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return {
    status: response.statusCode ?? 0,
    body: Buffer.concat(chunks).toString(),
    headers: response.headers,
  };
}

describe("where it listens", () => {
  test("https, http and a unix socket serve the same app", async () => {
    const path = join(directory, "run", "muster.sock");
    const listeners = await open([HTTPS, HTTP, { type: "unix", path }]);
    const [https, http] = listeners.urls;
    expect([https?.startsWith("https://127.0.0.1:"), http?.startsWith("http://127.0.0.1:")]).toEqual([
      true,
      true,
    ]);
    expect(listeners.sockets).toEqual([path]);
    const ca = await readFile(join(directory, "api-certificate.pem"), "utf8");
    const url = "/v1/bootstrap";
    const answers = [
      await call(httpsRequest, { host: "127.0.0.1", port: portOf(https), path: url, ca, agent: false }),
      await call(httpRequest, { host: "127.0.0.1", port: portOf(http), path: url }),
      await call(httpRequest, { socketPath: path, path: url }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  test("port 0 is told as the real port, a wildcard as this host's addresses", async () => {
    const wildcard: ApiListener = { ...HTTP, address: "0.0.0.0" };
    const listeners = await open([wildcard], ["10.1.1.1", "2001:db8::1"]);
    const [url] = listeners.urls;
    expect(listeners.urls).toHaveLength(1);
    expect(url).toMatch(/^http:\/\/10\.1\.1\.1:[1-9]\d*$/);
    expect(
      (await call(httpRequest, { host: "127.0.0.1", port: portOf(url), path: "/v1/bootstrap" })).status,
    ).toBe(200);
  });

  test("a wildcard on a host without addresses is told as loopback", async () => {
    const { urls } = await open([{ ...HTTP, address: "0.0.0.0" }]);
    expect(urls[0]).toMatch(/^http:\/\/127\.0\.0\.1:/);
  });

  test("a port that is taken is named, and nothing stays open", async () => {
    const taken = createServer();
    taken.listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    const path = join(directory, "s");
    await expect(
      open([
        { type: "unix", path },
        { ...HTTP, port },
      ]),
    ).rejects.toThrow(`cannot listen on http://127.0.0.1:${port}`);
    await expect(stat(path)).rejects.toThrow("ENOENT");
    taken.close();
  });

  test("TLS before 1.2 is refused", async () => {
    const { urls } = await open([HTTPS]);
    const socket = tlsConnect({
      host: "127.0.0.1",
      port: portOf(urls[0]),
      rejectUnauthorized: false,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    await expect(once(socket, "secureConnect")).rejects.toThrow();
  });
});

describe("the unix socket", () => {
  test("is for owner and group, and needs no credentials: who may open it is an administrator", async () => {
    await api.createCluster();
    const path = join(directory, "s");
    const { urls } = await open([{ type: "unix", path }, HTTP]);
    expect(((await stat(path)).mode & 0o777).toString(8)).toBe("660");
    expect((await call(httpRequest, { socketPath: path, path: "/muster/v1/status" })).status).toBe(200);
    const removed = await call(httpRequest, {
      socketPath: path,
      method: "DELETE",
      path: "/muster/v1/members/nobody",
    });
    expect([removed.status, JSON.parse(removed.body).error.code]).toEqual([404, "member_not_found"]);
    // The same app asks everybody else.
    const tcp = await call(httpRequest, {
      host: "127.0.0.1",
      port: portOf(urls[0]),
      path: "/muster/v1/status",
    });
    expect(tcp.status).toBe(401);
  });

  test("a socket that a killed agent left is replaced", async () => {
    const path = join(directory, "s");
    const left = createServer();
    left.listen(`${path}.old`);
    await once(left, "listening");
    // Node removes the path it made; renamed, the file stays behind as after kill -9.
    await rename(`${path}.old`, path);
    await new Promise((resolve) => left.close(resolve));
    expect((await stat(path)).isSocket()).toBe(true);
    await open([{ type: "unix", path }]);
    expect((await call(httpRequest, { socketPath: path, path: "/v1/bootstrap" })).status).toBe(200);
  });

  test("one that another process answers on is left alone", async () => {
    const path = join(directory, "s");
    const other = createServer();
    other.listen(path);
    await once(other, "listening");
    await expect(open([{ type: "unix", path }])).rejects.toThrow(`${path} is in use by another process`);
    expect((await stat(path)).isSocket()).toBe(true);
    await new Promise((resolve) => other.close(resolve));
  });

  test("a file that is no socket is left alone", async () => {
    const path = join(directory, "s");
    await writeFile(path, "precious");
    await expect(open([{ type: "unix", path }])).rejects.toThrow(`${path} is there and is no socket`);
    expect(await readFile(path, "utf8")).toBe("precious");
  });

  test("is gone after the stop", async () => {
    const path = join(directory, "s");
    const listeners = await open([{ type: "unix", path }]);
    await listeners.close(100);
    await expect(stat(path)).rejects.toThrow("ENOENT");
  });
});

describe("stopping", () => {
  /** A request that is being handled until `go` is called. */
  function slow(): { readonly handled: Promise<void>; readonly go: () => void } {
    const [handled, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const readBarrier = api.registry.readBarrier.bind(api.registry);
    api.registry.readBarrier = async () => {
      handled.resolve();
      await go.promise;
      return readBarrier();
    };
    return { handled: handled.promise, go: () => go.resolve() };
  }

  test("a running request is finished, then the connection is closed", async () => {
    const { urls } = await open([HTTP]);
    const agent = new Agent({ keepAlive: true });
    const { handled, go } = slow();
    const options = { host: "127.0.0.1", port: portOf(urls[0]), agent };
    const answer = call(httpRequest, { ...options, path: "/v1/bootstrap?consistency=linearizable" });
    await handled;
    const closed = opened[0]?.close(10_000);
    go();
    const { status, headers } = await answer;
    expect([status, headers.connection]).toEqual([200, "close"]);
    await closed;
    await expect(call(httpRequest, { ...options, path: "/v1/bootstrap" })).rejects.toThrow("ECONNREFUSED");
    agent.destroy();
  });

  test("callers that the system had let in before are served, on every kind of listener", async () => {
    const path = join(directory, "muster.sock");
    const listeners = await open([{ type: "unix", path }, HTTP]);
    const callers = [connect({ path }), connect({ host: "127.0.0.1", port: portOf(listeners.urls[0]) })];
    const answers = callers.map(async (caller) => {
      caller.write("GET /muster/v1/health/live HTTP/1.1\r\nhost: any\r\n\r\n");
      let text = "";
      for await (const chunk of caller) text += String(chunk);
      return text;
    });
    // The connections are made in the next tick; the server hears of them a turn later.
    await new Promise((resolve) => process.nextTick(resolve));
    await listeners.close(10_000);
    for (const answer of await Promise.all(answers)) {
      expect(answer).toMatch(/^HTTP\/1\.1 200 /);
      expect(answer).toMatch(/^connection: close\r$/im);
    }
  });

  test("one that does not end in time is cut", async () => {
    const { urls } = await open([HTTP]);
    const { handled, go } = slow();
    const path = "/v1/bootstrap?consistency=linearizable";
    const answer = call(httpRequest, { host: "127.0.0.1", port: portOf(urls[0]), path });
    const cut = expect(answer).rejects.toThrow(/hang up|ECONNRESET/);
    await handled;
    await opened[0]?.close(50);
    await cut;
    go();
  });

  test("event streams are ended at once", async () => {
    await api.createCluster();
    const { urls } = await open([HTTP]);
    const stream = httpRequest({
      host: "127.0.0.1",
      port: portOf(urls[0]),
      path: "/muster/v1/events",
      headers: ADMIN,
    });
    stream.end();
    const [response] = (await once(stream, "response")) as [IncomingMessage];
    response.resume();
    const ended = once(response, "end");
    await opened[0]?.close(60_000);
    await ended;
  });
});

describe("a caller that hangs up", () => {
  test("is waited for no longer, and is no defect", async () => {
    const { urls } = await open([HTTP]);
    const waiting = Promise.withResolvers<AbortSignal>();
    const gone = Promise.withResolvers<void>();
    api.registry.waitForIndex = (_index: number, options?: { readonly signal?: AbortSignal }) =>
      new Promise((_resolve, reject) => {
        const signal = options?.signal;
        if (signal === undefined) throw new Error("no signal was given");
        signal.addEventListener("abort", () => {
          reject(signal.reason as Error);
          gone.resolve();
        });
        waiting.resolve(signal);
      });
    const path = "/v1/bootstrap?min_index=99&wait=10m";
    const sent = httpRequest({ host: "127.0.0.1", port: portOf(urls[0]), path });
    sent.on("error", () => undefined);
    sent.end();
    expect((await waiting.promise).aborted).toBe(false);
    sent.destroy();
    await gone.promise;
    await opened[0]?.close(1000);
    expect(api.log.matching("request failed")).toEqual([]);
  });

  test("a write that was read whole is not given up while its caller waits, and is when it hangs up", async () => {
    await api.createCluster();
    const { urls } = await open([HTTP]);
    const submit = api.registry.submit.bind(api.registry);
    const [submitted, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    api.registry.submit = async (command, options) => {
      submitted.resolve();
      await go.promise;
      return submit(command, options);
    };
    const options = { host: "127.0.0.1", port: portOf(urls[0]), method: "POST", path: "/api/v1/zone" };
    const sent = httpRequest({ ...options, headers: ADMIN });
    sent.on("error", () => undefined);
    sent.end('{"name":"z"}');
    await submitted.promise;
    // The body has been read long ago: other requests have been answered since.
    await call(httpRequest, { ...options, method: "GET", path: "/v1/bootstrap", headers: ADMIN });
    const signal = api.writes[0]?.signal;
    expect(signal?.aborted).toBe(false);
    sent.destroy();
    await expect.poll(() => signal?.aborted).toBe(true);
    go.resolve();
  });
});

describe("what is no request", () => {
  async function raw(port: number, text: string): Promise<string> {
    const socket = connect(port, "127.0.0.1");
    socket.end(text);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  }

  test("no HTTP: 400; too many headers: 431", async () => {
    const { urls } = await open([HTTP]);
    const port = portOf(urls[0]);
    expect(await raw(port, "HELO\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 .*"bad_request"/s);
    const headers = `x: ${"y".repeat(20_000)}\r\n`;
    expect(await raw(port, `GET / HTTP/1.1\r\nhost: a\r\n${headers}\r\n`)).toMatch(
      /^HTTP\/1\.1 431 .*"too_large"/s,
    );
  });

  test("HTTP on the TLS port is cut off, and TLS goes on", async () => {
    const { urls } = await open([HTTPS]);
    const port = portOf(urls[0]);
    expect(await raw(port, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").catch(() => "")).not.toContain("200");
    const ca = await readFile(join(directory, "api-certificate.pem"), "utf8");
    const answer = await call(httpsRequest, {
      host: "127.0.0.1",
      port,
      path: "/v1/bootstrap",
      ca,
      agent: false,
    });
    expect(answer.status).toBe(200);
  });
});

describe("the certificate", () => {
  const options = () => ({
    directory,
    hostname: "host-1.example",
    addresses: ["10.0.0.1", "2001:db8::1", "fe80::1%eth0"],
  });

  test("is for this host's names and addresses, ten years, ECDSA P-256, signed by its own key", async () => {
    const { certificate, key } = await ensureCertificate(options());
    const x509 = new X509Certificate(certificate);
    for (const name of ["host-1.example", "localhost"]) expect(x509.checkHost(name)).toBe(name);
    for (const address of ["127.0.0.1", "::1", "10.0.0.1", "2001:db8::1"]) {
      expect(x509.checkIP(address)).toBe(address);
    }
    expect(x509.ca).toBe(false);
    expect(x509.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
    expect(x509.verify(x509.publicKey)).toBe(true);
    expect(x509.checkPrivateKey(createPrivateKey(key))).toBe(true);
    const days = (x509.validToDate.getTime() - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(3650);
    expect(x509.validFromDate.getTime()).toBeLessThan(Date.now());
  });

  test("a name longer than a common name may be is whole among the alternative names", async () => {
    const hostname = `${"a".repeat(60)}.${"b".repeat(60)}.example`;
    const { certificate } = await ensureCertificate({ directory, hostname, addresses: [] });
    expect(new X509Certificate(certificate).checkHost(hostname)).toBe(hostname);
  });

  test("the key is its owner's only, and both are used again", async () => {
    const made = await ensureCertificate(options());
    expect(((await stat(join(directory, "api-key.pem"))).mode & 0o777).toString(8)).toBe("600");
    expect(await ensureCertificate({ directory, hostname: "other", addresses: [] })).toEqual(made);
  });

  test("a start that was cut short between the two files is made good", async () => {
    const made = await ensureCertificate(options());
    await rm(join(directory, "api-certificate.pem"));
    const again = await ensureCertificate(options());
    expect(again.key).not.toBe(made.key);
    await rm(join(directory, "api-key.pem"));
    const third = await ensureCertificate(options());
    expect(new X509Certificate(third.certificate).checkPrivateKey(createPrivateKey(third.key))).toBe(true);
  });

  test("files that do not fit, or cannot be read, are left alone and named", async () => {
    await ensureCertificate(options());
    const keyFile = join(directory, "api-key.pem");
    const { key } = await ensureCertificate({
      ...options(),
      directory: await mkdtemp(join(directory, "other-")),
    });
    await writeFile(keyFile, key);
    await expect(ensureCertificate(options())).rejects.toThrow(`${keyFile}: it is not the key of`);
    await writeFile(keyFile, "scribble");
    await expect(ensureCertificate(options())).rejects.toThrow("cannot be read; remove both");
    await chmod(keyFile, 0o600);
    expect(await readFile(keyFile, "utf8")).toBe("scribble");
  });
});
