import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { epochMs } from "#shared/lib/time.ts";
import { bootstrapSuite } from "#test/suites/bootstrap.ts";
import { FakeBootstrap } from "#test/support/fake-bootstrap.ts";
import { FakeHost, FOUNDER, request } from "./fake-host.ts";
import { FakeStrangers } from "./fake-strangers.ts";

const CREATE = request({ clusterName: "my.cluster" });

bootstrapSuite("BootstrapDriver", async () => {
  const dir = await mkdtemp(join(tmpdir(), "muster-bootstrap-"));
  const host = new FakeHost({ peer: FOUNDER, strangers: new FakeStrangers(), dir });
  await host.driver.resume();
  return {
    bootstrap: host.driver,
    request: CREATE,
    let: (outcome) => {
      host.runtime.before = (step) => {
        if (step === "found" && outcome === "fail") throw new Error("the disk is full");
      };
    },
    settled: async () => void (await host.settled()),
    [Symbol.asyncDispose]: async () => {
      await host.driver[Symbol.asyncDispose]();
      await rm(dir, { recursive: true });
    },
  };
});

bootstrapSuite("FakeBootstrap", async () => {
  const at = epochMs(0);
  const bootstrap = new FakeBootstrap({ at });
  let outcome: "succeed" | "fail" = "succeed";
  return {
    bootstrap,
    request: CREATE,
    let: (wanted) => {
      outcome = wanted;
    },
    settled: async () => {
      const { state } = bootstrap;
      if (state.name !== "initiated") return;
      if (outcome === "succeed") bootstrap.uid = 1;
      bootstrap.state =
        outcome === "succeed"
          ? { ...state, name: "completed", endedAt: at }
          : {
              ...state,
              name: "error",
              failure: { code: "internal_error", details: { message: "no" } },
              endedAt: at,
            };
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
});
