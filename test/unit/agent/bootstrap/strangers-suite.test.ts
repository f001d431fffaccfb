import { strangersSuite } from "#test/suites/strangers.ts";
import { addressesOf, FakeStrangers } from "./fake-strangers.ts";

strangersSuite("FakeStrangers", async () => {
  const strangers = new FakeStrangers();
  const agent = (self: string) => ({ self, ...strangers.transportOf(self, ["/ip4/10.0.0.1/tcp/9444"]) });
  return {
    joiner: agent("joiner"),
    sponsor: agent("sponsor"),
    sponsorAt: addressesOf("sponsor"),
    nobody: addressesOf("nobody"),
    [Symbol.asyncDispose]: async () => undefined,
  };
});
