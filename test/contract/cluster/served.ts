import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";

import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from "fastify";

import { Listeners } from "#agent/api/listeners.ts";
import { createServer } from "#agent/api/server.ts";
import { epochMs } from "#shared/lib/time.ts";
import { seedFacts } from "#test/support/fake-api.ts";
import { FakeBootstrap } from "#test/support/fake-bootstrap.ts";
import { FakeInventory } from "#test/support/fake-inventory.ts";
import { FakeMembership } from "#test/support/fake-membership.ts";
import { FakePasswords } from "#test/support/fake-passwords.ts";
import { basic } from "#test/support/http.ts";
import { commandsOver } from "#test/support/local-registry.ts";
import type { Host, Replicas } from "#test/unit/agent/registry/replicas.ts";

const AUTHORIZATION = basic("admin@example.com:any");

/** Passwords that always fit: who may come in is no question here. */
class AnyPassword extends FakePasswords {
  override async verify(): Promise<boolean> {
    return true;
  }
}

/** The real server over one real replica. It ends with the life of its replica, as in one process. */
export class Served {
  readonly host: Host;
  readonly app: FastifyInstance;
  readonly #listeners: Listeners;
  readonly #replicas: Replicas;

  constructor(replicas: Replicas, host: Host) {
    this.host = host;
    this.#replicas = replicas;
    const { replica, log, peer } = host;
    const { clock } = replicas;
    const bootstrap = new FakeBootstrap({ at: epochMs(0) });
    bootstrap.uid = host.n;
    bootstrap.state = {
      name: "completed",
      action: "create_cluster",
      attempt: 1,
      startedAt: epochMs(0),
      endedAt: epochMs(0),
    };
    const agent = {
      peer,
      uuid: `uuid-${host.n}`,
      name: `tnt${host.n}.public.i`,
      softwareVersion: "0.1.0",
      apiUrls: [],
      meshAddrs: [],
    };
    const queries = {
      get registry() {
        return replica.state;
      },
      bootstrap,
      inventory: new FakeInventory(seedFacts()),
      membership: new FakeMembership(peer),
      agent,
      status: () => replica.status(),
    };
    this.app = createServer(
      {
        registry: replica,
        commands: commandsOver(replica),
        queries,
        bootstrap,
        passwords: new AnyPassword(),
        clock,
        log,
        incarnation: () => 1,
        packBackup: () => Buffer.alloc(0),
        metrics: { contentType: "text/plain", render: async () => "", answered: () => undefined },
      },
      { bootstrapAllowFrom: [] },
    );
    const listen = [{ type: "tcp", scheme: "http", address: "127.0.0.1", port: 0 }] as const;
    this.#listeners = new Listeners(
      { app: this.app, clock, log },
      { listen, tls: null, hostAddresses: () => [] },
    );
  }

  /** Opens its port; for streams, which `call` cannot read. */
  async listen(): Promise<void> {
    await this.#listeners.start();
  }

  /** Connections are cut where they are. */
  async cutOff(): Promise<void> {
    await this.#replicas.wait(this.#listeners.close(0));
  }

  /** Lets virtual time pass until the answer is there. */
  call(
    method: NonNullable<InjectOptions["method"]>,
    url: string,
    headers: object = {},
    body?: object,
  ): Promise<LightMyRequestResponse> {
    const options: InjectOptions = {
      method,
      url,
      headers: { authorization: AUTHORIZATION, ...headers },
      ...(body !== undefined && { payload: body }),
    };
    return this.#replicas.wait(Promise.resolve(this.app.inject(options)));
  }

  async stream(lastId: string | null): Promise<IncomingMessage> {
    const { port } = new URL(this.#listeners.urls[0] ?? "");
    const headers = { authorization: AUTHORIZATION, ...(lastId !== null && { "last-event-id": lastId }) };
    const sent = httpRequest({ host: "127.0.0.1", port, path: "/muster/v1/events", headers, agent: false });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    response.on("error", () => undefined); // Cut off: the reader sees the end.
    return response;
  }
}
