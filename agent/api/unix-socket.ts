import type { Server } from "node:http";
import { chmod, lstat, mkdir, rename, rm } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";

/** Owner and group: who may open the file administers the agent. */
const SOCKET_MODE = 0o660;
const PROBE_MS_MAX = 1000;

/**
 * Listens on a unix socket. A socket that a killed agent left behind is replaced; one that is answered, and anything that
 * is no socket, is left alone and refused. Nobody can connect before the file has its mode: it is made under
 * another name, in the same folder, and then renamed. Answers with what removes the file again.
 */
export async function listenOnUnixSocket(server: Server, path: string): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true, mode: 0o750 });
  await refuseIfTaken(path);
  const temporary = `${path}.${process.pid}`;
  await rm(temporary, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path: temporary }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  await chmod(temporary, SOCKET_MODE);
  await rename(temporary, path);
  const { ino } = await lstat(path);
  return {
    [Symbol.asyncDispose]: async () => {
      // Another agent may have taken the path over meanwhile; its socket stays.
      const found = await lstat(path).catch(() => null);
      if (found?.ino === ino) await rm(path, { force: true });
    },
  };
}

async function refuseIfTaken(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (found === null) return;
  if (!found.isSocket()) throw new Error(`${path} is there and is no socket`);
  if (await isAnswered(path)) throw new Error(`${path} is in use by another process`);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    // A process that accepts nothing for that long still holds its socket.
    socket.setTimeout(PROBE_MS_MAX, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      else reject(new Error(`${path} is there and cannot be opened: ${error.message}`, { cause: error }));
    });
  });
}
