import { expect, test } from "vitest";

import { socketDirectory } from "#agent/config/socket-directory.ts";

const folderOf = (dataDir: string, ...paths: string[]) =>
  socketDirectory({
    dataDir,
    api: {
      listen: [
        { type: "tcp", scheme: "https", address: "0.0.0.0", port: 9443 },
        ...paths.map((path) => ({ type: "unix", path }) as const),
      ],
      advertise: [],
    },
  });

test("the folder of the socket, where it is one for the whole host", () => {
  expect(folderOf("/var/lib/muster", "/run/muster/muster.sock")).toBe("/run/muster");
  expect(folderOf("/var/lib/muster", "/var/lib/muster-socket/s")).toBe("/var/lib/muster-socket");
});

test.each([
  ["no socket", "/var/lib/muster", []],
  ["one in the data folder", "/tmp/a", ["/tmp/a/muster.sock"]],
  ["one below it", "/tmp/a", ["/tmp/a/run/muster.sock"]],
  [
    "one beside it, in the agent's own folder",
    "/srv/muster-dev/agent-1/data",
    ["/srv/muster-dev/agent-1/muster.sock"],
  ],
])("none with %s", (_what, dataDir, paths) => {
  expect(folderOf(dataDir, ...paths)).toBeUndefined();
});

test("of several the first that is not the agent's own", () => {
  expect(folderOf("/data", "/data/s", "/run/a/s", "/run/b/s")).toBe("/run/a");
});
