import { beforeEach, describe, expect, test } from "vitest";

import type { HostReport, Membership } from "#agent/ports/membership.ts";

export interface MembershipHarness {
  /** Of the member `a` of a cluster of `a` and `b`, which nobody published anything in yet. */
  readonly membership: Membership;
  /** A report that is told apart by that text. */
  reportOf(peer: string, text: string): HostReport;
  /** Host `b` publishes a report; resolves when `a` may have heard of it. */
  publishedByB(report: HostReport): Promise<void>;
}

const UNKNOWN = {
  report: null,
  liveness: "unknown",
  version: null,
  lastSeenMsAgo: null,
  rttMs: null,
  clockOffsetMs: null,
  clockAlarm: false,
};

/** What every implementation of agent/ports/membership.ts must do. How news travels and who is dead is not told here. */
export function membershipSuite(name: string, make: () => Promise<MembershipHarness>): void {
  describe(name, () => {
    let harness: MembershipHarness;
    let membership: Membership;

    beforeEach(async () => {
      harness = await make();
      ({ membership } = harness);
    });

    test("nothing is known of a host that nobody heard of", () => {
      expect(membership.view("nobody")).toEqual(UNKNOWN);
    });

    test("an agent is alive to itself, seen now, without distance; without a report until it has published one", () => {
      expect(membership.view("a")).toEqual({
        report: null,
        liveness: "alive",
        version: null,
        lastSeenMsAgo: 0,
        rttMs: 0,
        clockOffsetMs: 0,
        clockAlarm: false,
      });
    });

    test("an agent that has nothing to do finds itself well", () => {
      expect(membership.self()).toEqual({ score: 0, loopDelayMs: 0 });
    });

    test("what is published is seen at once, and told; what the caller does to it later is not seen", () => {
      const heard: string[] = [];
      membership.onChange((peer) => heard.push(`${peer}: ${membership.view(peer).report?.name}`));
      const report = harness.reportOf("a", "one");
      const names = report.facts.static.bridge_interfaces;
      membership.publish(report);
      expect(heard).toEqual([`a: ${report.name}`]);
      names.push("later");
      expect(membership.view("a").report).toEqual(harness.reportOf("a", "one"));
    });

    test("a newer report takes the older one's place and has a higher version", () => {
      const versions = ["one", "two"].map((text) => {
        membership.publish(harness.reportOf("a", text));
        return membership.view("a").version;
      });
      expect(membership.view("a").report).toEqual(harness.reportOf("a", "two"));
      const [first, second] = versions;
      expect(second?.incarnation).toBe(first?.incarnation);
      expect(second?.count).toBeGreaterThan(first?.count ?? Infinity);
    });

    test("another host's report cannot be published", () => {
      membership.publish(harness.reportOf("nobody", "false"));
      expect(membership.view("nobody")).toEqual(UNKNOWN);
      expect(membership.view("a").report).toBeNull();
    });

    test("another host's own report is heard of: it lives, and was seen", async () => {
      const heard = new Set<string>();
      membership.onChange((peer) => heard.add(peer));
      await harness.publishedByB(harness.reportOf("b", "one"));
      const { report, liveness, version, lastSeenMsAgo } = membership.view("b");
      expect(report).toEqual(harness.reportOf("b", "one"));
      expect(liveness).toBe("alive");
      expect(["b", "nobody"].map((peer) => membership.isAlive(peer))).toEqual([true, false]);
      expect(version?.count).toBeGreaterThan(0);
      expect(lastSeenMsAgo).toBeGreaterThanOrEqual(0);
      expect(heard).toContain("b");
    });

    test("who has left hears nothing", () => {
      let heard = 0;
      membership.onChange(() => (heard += 1))[Symbol.dispose]();
      membership.publish(harness.reportOf("a", "one"));
      expect(heard).toBe(0);
    });
  });
}
