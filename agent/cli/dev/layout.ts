import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { join, resolve } from "node:path";

import type { Credentials } from "#agent/cli/client.ts";

/** One agent of the development cluster: its own address, folder and ports. */
export interface DevAgent {
  readonly name: string;
  readonly address: string;
  readonly apiPort: number;
  readonly meshPort: number;
  readonly url: string;
  readonly dir: string;
  readonly configFile: string;
  readonly logFile: string;
}

/** A request that cannot be met; the message is one sentence for the person at the terminal. */
export class DevRefused extends Error {
  override readonly name = "DevRefused";
}

/** Agent N lives on 127.0.0.N, so that all use the same two ports, as on hosts of their own. */
export function layOut(options: {
  readonly dir: string;
  readonly agents: number;
  readonly basePort: number;
}): readonly DevAgent[] {
  return Array.from({ length: options.agents }, (_, index) => {
    const name = `muster-${index + 1}`;
    const address = `127.0.0.${index + 1}`;
    const dir = join(resolve(options.dir), name);
    return {
      name,
      address,
      apiPort: options.basePort,
      meshPort: options.basePort + 1,
      url: `https://${address}:${options.basePort}`,
      dir,
      configFile: join(dir, "muster.json"),
      logFile: join(dir, "agent.log"),
    };
  });
}

/** Longest path of a unix socket on Linux, see unix(7). */
const UNIX_PATH_BYTES_MAX = 107;

/** Writes the agent's folder and its muster.json, with which it can also be started by hand. */
export async function prepare(agent: DevAgent): Promise<void> {
  await mkdir(agent.dir, { recursive: true, mode: 0o700 });
  const socket = join(agent.dir, "muster.sock");
  const settings = {
    name: agent.name,
    data_dir: join(agent.dir, "data"),
    api_listen: [agent.url, ...(Buffer.byteLength(socket) > UNIX_PATH_BYTES_MAX ? [] : [`unix:${socket}`])],
    mesh_listen: [`${agent.address}:${agent.meshPort}`],
  };
  await writeFile(agent.configFile, `${JSON.stringify(settings, null, 2)}\n`);
  await rename(agent.logFile, `${agent.logFile}.1`).catch(() => undefined); // None yet at the first start.
}

/** Throws DevRefused when an agent's ports are taken. */
export async function checkPorts(agents: readonly DevAgent[]): Promise<void> {
  for (const { address, apiPort, meshPort } of agents) {
    for (const port of [apiPort, meshPort]) {
      const code = await tryListen(address, port);
      if (code === "EADDRINUSE") {
        throw new DevRefused(
          `${address}:${port} is in use by another process; end it, or choose other ports with --base-port`,
        );
      }
      if (code !== null) throw new DevRefused(`${address}:${port} cannot be listened on (${code})`);
    }
  }
}

function tryListen(address: string, port: number): Promise<string | null> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    server.listen(port, address, () => server.close(() => done(null)));
  });
}

/** The cluster's first user: read from the folder, or made and kept there, readable by its owner alone. */
export async function loadCredentials(dir: string): Promise<Credentials> {
  const file = join(resolve(dir), "credentials.json");
  const text = await readFile(file, "utf8").catch(() => null);
  if (text === null) {
    const made = { username: "admin", password: randomBytes(12).toString("base64url") };
    await mkdir(resolve(dir), { recursive: true, mode: 0o700 });
    await writeFile(file, `${JSON.stringify(made, null, 2)}\n`, { mode: 0o600 });
    return made;
  }
  await chmod(file, 0o600);
  const read = parse(text);
  if (typeof read?.["username"] === "string" && typeof read["password"] === "string") {
    return { username: read["username"], password: read["password"] };
  }
  throw new DevRefused(`${file} is damaged; remove ${resolve(dir)} to start anew`);
}

function parse(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown> | null;
  } catch {
    return null;
  }
}
