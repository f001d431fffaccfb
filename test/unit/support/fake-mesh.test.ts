import { SystemClock } from "#agent/clock/system-clock.ts";
import { transportSuite } from "#test/suites/transport.ts";
import { FakeMesh } from "#test/support/fake-mesh.ts";

transportSuite("FakeMesh", async () => {
  const mesh = new FakeMesh({ clock: new SystemClock() });
  const [a, b, c] = [mesh.join("a"), mesh.join("b"), mesh.join("c")];
  return {
    nodes: [a, b, c],
    kill: async () => mesh.leave("c"),
    [Symbol.asyncDispose]: async () => {
      for (const { self } of [a, b, c]) mesh.leave(self);
    },
  };
});
