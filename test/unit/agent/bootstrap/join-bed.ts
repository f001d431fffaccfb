import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect } from "vitest";

import { FakeHost, FOUNDER, proofs, request } from "./fake-host.ts";
import { FakeStrangers } from "./fake-strangers.ts";
import { issueToken } from "#agent/bootstrap/issue-token.ts";
import type { BootstrapRequest, JoinCredentials } from "#shared/bootstrap/config.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import type { LocalRegistry } from "#test/support/local-registry.ts";

/** A join with the password of the bed's administrator. */
export const JOIN = request({ nodes: ["10.0.0.1"] });

/** A cluster of one that lets others in, and hosts of no cluster beside it. */
export class JoinBed implements AsyncDisposable {
  readonly strangers = new FakeStrangers();
  readonly founder: FakeHost;
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
    this.founder = new FakeHost({ peer: FOUNDER, strangers: this.strangers, dir });
  }

  static async make(more: Partial<BootstrapRequest> = {}): Promise<JoinBed> {
    const bed = new JoinBed(await mkdtemp(join(tmpdir(), "muster-join-")));
    const { founder } = bed;
    await founder.driver.resume();
    founder.sponsor();
    await founder.driver.start("create_cluster", request({ clusterName: "my.cluster", ...more }));
    expect(await founder.settled()).toMatchObject({ name: "completed" });
    // The log and the sponsor tell one time.
    founder.clock.jumpWall(bed.registry.state.at - founder.clock.now());
    return bed;
  }

  get registry(): LocalRegistry {
    return this.founder.runtime.registry as LocalRegistry;
  }

  /** A host that finds the founder at 10.0.0.1, its clock right. */
  async newcomer(peer: string): Promise<FakeHost> {
    const host = new FakeHost({ peer, strangers: this.strangers, dir: this.#dir, address: "10.0.0.2" });
    host.contacts.set("10.0.0.1", this.founder);
    host.runtime.follows = this.founder.runtime.registry;
    host.clock.jumpWall(this.founder.clock.now() - host.clock.now());
    await host.driver.resume();
    return host;
  }

  /** A new join token of the cluster, made at the founder; valid for an hour. */
  token(ttlMs = 3_600_000): Promise<{ readonly id: string; readonly token: string }> {
    const { registry } = this;
    return issueToken(
      { registry, tokens: proofs.tokens, self: FOUNDER },
      { ttlMs, note: "" },
      { by: "admin" },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true });
  }
}

/** Starts a join and waits for its end. */
export async function attempt(host: FakeHost, body: BootstrapRequest = JOIN): Promise<BootstrapState> {
  await host.driver.start("join_cluster", body);
  return host.settled();
}

/** A join by other means than a password. */
export function joinWith(
  credentials: Partial<JoinCredentials>,
  more: Partial<BootstrapRequest> = {},
): BootstrapRequest {
  return request({ credentials: { username: "", password: "", ...credentials }, ...more });
}

/** What `error` says. */
export function failure(code: string, details: object = {}): object {
  return { name: "error", failure: { code, details } };
}
