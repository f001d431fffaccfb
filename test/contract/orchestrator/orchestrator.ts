import type { InjectOptions } from "fastify";

import type { ApiDeps, Queries } from "#agent/api/ports.ts";
import { createServer } from "#agent/api/server.ts";
import type { Metrics } from "#agent/ports/metrics.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import { epochMs } from "#shared/lib/time.ts";
import { FakeBootstrap } from "#test/support/fake-bootstrap.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakePasswords } from "#test/support/fake-passwords.ts";
import { basic } from "#test/support/http.ts";
import { commandsOver, LocalRegistry } from "#test/support/local-registry.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";

const ADMIN = basic("admin@example.com:secret");
/** This dialect asks for no numbers. */
const NOTHING_MEASURED: Metrics = {
  contentType: "text/plain",
  render: () => Promise.resolve(""),
  answered: () => undefined,
};
const VIEWER = basic("viewer:secret");

/** What the orchestrator answered: status, and the body as text and as JSON. */
export interface Said {
  readonly status: number;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests read the wire form freely
  readonly json: any;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** The real server and the real reducers over a cluster of one that has `tnt1`, `tnt2` and `tnt3` as members. */
export class Orchestrator {
  readonly registry = new LocalRegistry();
  readonly clock = new FakeClock();
  readonly log = new RecordingLog();
  readonly bootstrap = new FakeBootstrap({ at: epochMs(0) });
  readonly #passwords = new FakePasswords();
  readonly #app = createServer(
    {
      ...this.#deps(),
      passwords: this.#passwords,
      incarnation: () => 1,
      packBackup: () => Buffer.alloc(0),
      metrics: NOTHING_MEASURED,
    },
    { bootstrapAllowFrom: [] },
  );

  static async start(): Promise<Orchestrator> {
    const orchestrator = new Orchestrator();
    const { registry } = orchestrator;
    await registry.submit(makeCluster(), { by: "agent" });
    for (const n of [2, 3])
      await registry.submit({ type: "member.add", member: makeMember(n) }, { by: "agent" });
    const createdAt = epochMs(0);
    for (const [uid, name, role] of [
      [1, "admin@example.com", "admin"],
      [2, "viewer", "viewer"],
    ] as const) {
      const verifier = orchestrator.#passwords.verifier("secret");
      registry.state.users.set(name, {
        uid,
        name,
        role,
        verifier,
        createdAt,
        passwordAt: createdAt,
        displayName: "",
        emailAlerts: false,
      });
    }
    orchestrator.bootstrap.uid = 1;
    orchestrator.bootstrap.state = completed();
    await orchestrator.#app.ready();
    return orchestrator;
  }

  /** A request as curl makes it: the body is JSON, whatever the Content-Type says; a text is sent as it is. */
  async call(
    method: NonNullable<InjectOptions["method"]>,
    path: string,
    body?: unknown,
    headers: object = {},
  ): Promise<Said> {
    const given = { authorization: ADMIN, "content-type": "application/x-www-form-urlencoded", ...headers };
    const payload = typeof body === "string" ? body : body === undefined ? undefined : JSON.stringify(body);
    const answer = await this.#app.inject({
      method,
      url: path,
      headers: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Record<
        string,
        string
      >,
      ...(payload !== undefined && { payload }),
    });
    const text = answer.payload;
    return {
      status: answer.statusCode,
      text,
      json: text === "" ? undefined : (JSON.parse(text) as unknown),
      headers: answer.headers,
    };
  }

  asViewer(method: NonNullable<InjectOptions["method"]>, path: string, body?: unknown): Promise<Said> {
    return this.call(method, path, body, { authorization: VIEWER });
  }

  async close(): Promise<void> {
    await this.#app.close();
  }

  #deps(): ApiDeps {
    const { registry, bootstrap, clock, log } = this;
    const absent = (what: string) => (): never => {
      throw new Error(`this dialect has no use for ${what}`);
    };
    const queries: Queries = {
      registry: registry.state,
      bootstrap,
      inventory: {
        current: absent("inventory"),
        refresh: absent("inventory"),
        onChange: absent("inventory"),
        setPaths: absent("inventory"),
        paths: absent("inventory"),
      },
      membership: {
        view: absent("membership"),
        isAlive: absent("membership"),
        self: absent("membership"),
        publish: absent("membership"),
        onChange: absent("membership"),
      },
      agent: {
        peer: "peer-1",
        uuid: "uuid-1",
        name: "tnt1.public.i",
        softwareVersion: "0.1.0",
        apiUrls: [],
        meshAddrs: [],
      },
      status: () => registry.status(),
    };
    return { commands: commandsOver(registry), queries, registry, bootstrap, clock, log };
  }
}

function completed(): BootstrapState {
  return {
    name: "completed",
    action: "create_cluster",
    attempt: 1,
    startedAt: epochMs(0),
    endedAt: epochMs(0),
  };
}
