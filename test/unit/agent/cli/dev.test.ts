import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, test } from "vitest";

import { RunRecord } from "#agent/cli/dev/children.ts";
import {
  checkPorts,
  DevRefused,
  layOut,
  loadCredentials,
  prepare,
  type DevAgent,
} from "#agent/cli/dev/layout.ts";
import { readConfig } from "#agent/config/read.ts";

const root = mkdtempSync(join(tmpdir(), "muster-dev-"));
afterAll(() => rmSync(root, { recursive: true }));

function folder(name: string): string {
  return join(root, name);
}

describe("layout", () => {
  test("each agent has an address and a folder of its own, and the same two ports", () => {
    const agents = layOut({ dir: folder("a"), agents: 3, basePort: 9443 });
    expect(agents.map(({ name, url, meshPort }) => [name, url, meshPort])).toEqual([
      ["muster-1", "https://127.0.0.1:9443", 9444],
      ["muster-2", "https://127.0.0.2:9443", 9444],
      ["muster-3", "https://127.0.0.3:9443", 9444],
    ]);
    expect(new Set(agents.map(({ dir }) => dir)).size).toBe(3);
  });

  test("the file it writes is one the agent understands, in a folder too deep for a unix socket as well", async () => {
    for (const dir of [folder("b"), folder(`b/${"deep/".repeat(30)}`)]) {
      const [agent] = layOut({ dir, agents: 1, basePort: 9443 }) as [DevAgent];
      await prepare(agent);
      await prepare(agent); // Again, as at the second start.
      const outcome = readConfig(["--config", agent.configFile], {});
      expect(outcome).toMatchObject({
        type: "run",
        config: { name: "muster-1", dataDir: join(agent.dir, "data") },
      });
    }
  });

  test("a port in use is named", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.2");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const agents = layOut({ dir: folder("c"), agents: 2, basePort: port });
    await expect(checkPorts(agents)).rejects.toThrow(`127.0.0.2:${port} is in use by another process`);
    server.close();
  });
});

describe("credentials", () => {
  test("are made once, kept, and readable by their owner alone", async () => {
    const made = await loadCredentials(folder("d"));
    expect(made.password.length).toBeGreaterThanOrEqual(16);
    const file = join(folder("d"), "credentials.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    chmodSync(file, 0o644);
    expect(await loadCredentials(folder("d"))).toEqual(made);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await loadCredentials(folder("e"))).not.toEqual(made);
  });

  test("a damaged file is refused, not replaced: the cluster knows the old ones", async () => {
    await loadCredentials(folder("f"));
    const file = join(folder("f"), "credentials.json");
    writeFileSync(file, '{"username": "adm');
    await expect(loadCredentials(folder("f"))).rejects.toBeInstanceOf(DevRefused);
    expect(readFileSync(file, "utf8")).toBe('{"username": "adm');
  });
});

describe("what an earlier run left", () => {
  /** A process that lives until it is told to stop, with these words on its command line. */
  function bystander(words: string): ReturnType<typeof spawn> {
    return spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", "--", words], { stdio: "ignore" });
  }

  async function recorded(dir: string, parent: number, agents: readonly number[]): Promise<RunRecord> {
    await loadCredentials(dir); // Makes the folder.
    writeFileSync(join(dir, "running.json"), JSON.stringify({ parent, agents }));
    return new RunRecord(dir);
  }

  test("its agents are stopped; a process that only has the number of one is left alone", async () => {
    const dir = folder("g");
    const [ours, stranger] = [bystander(`--config ${dir}/muster-1/muster.json`), bystander("something else")];
    await Promise.all([once(ours, "spawn"), once(stranger, "spawn")]);
    const ended = once(ours, "exit");
    const gone = 2 ** 22; // More than the highest process number there is.
    const told: string[] = [];
    const record = await recorded(dir, gone, [ours.pid ?? 0, stranger.pid ?? 0, gone]);
    await record.takeOver((line) => told.push(line));
    expect((await ended)[1]).toBe("SIGTERM");
    expect(told).toEqual([`stopping agent ${ours.pid}, left over from an earlier run`]);
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    stranger.kill();
    await record.takeOver(() => expect.unreachable()); // Nothing is left to take over.
  });

  test("a run that still goes on is not disturbed", async () => {
    const other = bystander("muster.js dev");
    await once(other, "spawn");
    const record = await recorded(folder("h"), other.pid ?? 0, []);
    await expect(record.takeOver(() => undefined)).rejects.toThrow(/already runs a cluster/);
    other.kill();
  });

  test("a torn record is no record", async () => {
    await loadCredentials(folder("i"));
    writeFileSync(join(folder("i"), "running.json"), '{"parent":');
    await new RunRecord(folder("i")).takeOver(() => expect.unreachable());
  });
});
