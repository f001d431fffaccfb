import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { Bootstrap } from "#agent/ports/bootstrap.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";

export interface BootstrapHarness extends AsyncDisposable {
  /** Of a host that is in no cluster and never tried. */
  readonly bootstrap: Bootstrap;
  /** One with which `create_cluster` succeeds on this host. */
  readonly request: BootstrapRequest;
  /** How the attempts that are started from now on will end. */
  let(outcome: "succeed" | "fail"): void;
  /** Resolves when the attempt under way is over. */
  settled(): Promise<void>;
}

const never = new AbortController().signal;

/** What every implementation of agent/ports/bootstrap.ts must do. What an attempt does is no part of it. */
export function bootstrapSuite(name: string, make: () => Promise<BootstrapHarness>): void {
  describe(name, () => {
    let harness: BootstrapHarness;
    let bootstrap: Bootstrap;
    let request: BootstrapRequest;

    beforeEach(async () => {
      harness = await make();
      ({ bootstrap, request } = harness);
    });
    afterEach(() => harness[Symbol.asyncDispose]());

    const create = (more: Partial<BootstrapRequest> = {}): Promise<void> =>
      bootstrap.start("create_cluster", { ...request, ...more });
    const IN_PROGRESS = { name: "AppError", kind: "bootstrap_in_progress" };

    test("at first there is nothing", () => {
      expect(bootstrap.state).toEqual({ name: "idle" });
      expect(bootstrap.uid).toBeNull();
      expect(bootstrap.steps).toEqual([]);
    });

    test("a rehearsal changes nothing and is told to nobody", async () => {
      let heard = 0;
      bootstrap.onChange(() => (heard += 1));
      expect(await bootstrap.validate("create_cluster", request, never)).toEqual({ ok: true });
      expect([bootstrap.state, bootstrap.steps, heard]).toEqual([{ name: "idle" }, [], 0]);
    });

    test("an accepted attempt is initiated when the call returns, and goes on by itself", async () => {
      const heard: string[] = [];
      bootstrap.onChange((state) => heard.push(state.name));
      await create();
      expect(bootstrap.state).toMatchObject({ name: "initiated", action: "create_cluster", attempt: 1 });
      expect(heard).toEqual(["initiated"]);
      await harness.settled();
      expect(heard.at(-1)).toBe("completed");
      expect(bootstrap.state).toMatchObject({ name: "completed", action: "create_cluster", attempt: 1 });
      expect(bootstrap.uid).toBe(1);
    });

    test("a listener finds the state it is told of; one that left hears nothing", async () => {
      const seen: boolean[] = [];
      let goneHeard = false;
      bootstrap.onChange((state) => seen.push(state === bootstrap.state));
      bootstrap.onChange(() => (goneHeard = true))[Symbol.dispose]();
      await create();
      await harness.settled();
      expect(seen.length).toBeGreaterThanOrEqual(2);
      expect(seen).not.toContain(false);
      expect(goneHeard).toBe(false);
    });

    test("of two attempts at once one is taken", async () => {
      const both = await Promise.allSettled([create(), create()]);
      expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
      expect(both[1]).toMatchObject({ reason: IN_PROGRESS });
      await harness.settled();
    });

    test("while one is under way any other is refused for that, even an unfit one; a join, too", async () => {
      await create();
      await expect(create({ clusterName: "not a name" })).rejects.toMatchObject(IN_PROGRESS);
      const join = { ...request, nodes: ["10.0.0.9"] };
      await expect(bootstrap.start("join_cluster", join)).rejects.toMatchObject(IN_PROGRESS);
      await expect(bootstrap.validate("join_cluster", join, never)).rejects.toMatchObject(IN_PROGRESS);
      await harness.settled();
    });

    test("in a cluster any other is refused for that", async () => {
      await create();
      await harness.settled();
      const { state } = bootstrap;
      const refusal = { name: "AppError", kind: "already_in_cluster" };
      await expect(create()).rejects.toMatchObject(refusal);
      await expect(create({ clusterName: "not a name" })).rejects.toMatchObject(refusal);
      await expect(bootstrap.validate("create_cluster", request, never)).rejects.toMatchObject(refusal);
      expect(bootstrap.state).toBe(state);
    });

    test.each([
      ["a cluster's name that is none", "create_cluster", { clusterName: "not a name" }, "cluster.name"],
      [
        "an empty password",
        "create_cluster",
        { credentials: { username: "admin", password: "" } },
        "credentials.password",
      ],
      ["a join over no port", "join_cluster", { nodes: ["10.0.0.9"], apiPort: 0 }, "cnm_https_port"],
      ["a recovery from nothing", "recover_cluster", {}, "recovery_filename"],
    ] as const)("%s is refused by its field and changes nothing", async (_what, action, more, field) => {
      let heard = 0;
      bootstrap.onChange(() => (heard += 1));
      const refusal = { name: "AppError", kind: "config_error", facts: { field } };
      await expect(bootstrap.start(action, { ...request, ...more })).rejects.toMatchObject(refusal);
      await expect(bootstrap.validate(action, { ...request, ...more }, never)).rejects.toMatchObject(refusal);
      expect([bootstrap.state, heard]).toEqual([{ name: "idle" }, 0]);
      await create();
      expect(bootstrap.state).toMatchObject({ attempt: 1 });
      await harness.settled();
    });

    test("an attempt that fails ends in error; the next one is another attempt and may succeed", async () => {
      harness.let("fail");
      await create();
      await harness.settled();
      expect(bootstrap.state).toMatchObject({
        name: "error",
        action: "create_cluster",
        attempt: 1,
        failure: { code: expect.any(String) as string },
      });
      expect(bootstrap.uid).toBeNull();
      harness.let("succeed");
      await create();
      expect(bootstrap.state).toMatchObject({ name: "initiated", attempt: 2 });
      await harness.settled();
      expect(bootstrap.state).toMatchObject({ name: "completed", attempt: 2 });
    });
  });
}
