import { membershipSuite } from "#test/suites/membership.ts";
import { FakeMembership } from "#test/support/fake-membership.ts";
import { Agents, reportOf } from "./agents.ts";

membershipSuite("MembershipDriver", async () => {
  const agents = Agents.of("a", "b");
  return {
    membership: agents.get("a").driver,
    reportOf,
    publishedByB: async (report) => {
      agents.get("b").driver.publish(report);
      await agents.clock.until(() => agents.get("a").driver.view("b").report !== null);
      await agents.clock.until(() => agents.get("a").driver.view("b").liveness === "alive");
    },
  };
});

membershipSuite("FakeMembership", async () => {
  const membership = new FakeMembership("a");
  return { membership, reportOf, publishedByB: async (report) => membership.hear(report) };
});
