import { expect } from "vitest";

import type { AgentProcess } from "#test/support/agents.ts";

import { LeaderWatch } from "./leader-watch.ts";
import { pause, type Load } from "./load.ts";

/** Everybody sees everybody alive, without any help. */
export async function untilAllAlive(agents: readonly AgentProcess[]): Promise<void> {
  for (const agent of agents) {
    await agent.until("sees all members alive", async () => {
      const answer = await agent.get("/muster/v1/members");
      const members = (answer.json?.members ?? []) as { liveness: string }[];
      return members.length === agents.length && members.every(({ liveness }) => liveness === "alive");
    });
  }
}

/** So long may a fault last for the price of one change of leader. Milliseconds. */
const CALM_MS = 30_000;

/**
 * For that long these agents go on acknowledging writes, and leadership changes no more than once per 30 s (a chain of
 * elections is as bad as none). Answers with who led.
 */
export async function expectCalm(
  load: Load,
  agents: readonly AgentProcess[],
  forMs: number,
): Promise<string> {
  await using watch = new LeaderWatch(agents);
  const over = pause(forMs);
  await load.untilMore(20, agents);
  await over;
  await load.untilMore(10, agents);
  expect(watch.changes, watch.story).toBeLessThanOrEqual(Math.ceil(forMs / CALM_MS));
  return watch.story;
}
