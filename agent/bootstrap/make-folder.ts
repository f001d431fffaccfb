import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Makes the folder and those above it. Not by mkdir's own `recursive`: that never ends where a folder exists and still takes
 * none (`/proc/x`), and takes one of the few threads with it.
 */
export async function makeFolder(path: string, mode: number): Promise<void> {
  const made = await tryMakeFolder(path, mode);
  if (made || dirname(path) === path) return;
  await makeFolder(dirname(path), mode);
  await mkdir(path, { mode });
}

/** False when a folder above is missing. */
async function tryMakeFolder(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    if (code === "ENOENT") return false;
    if (code === "EEXIST" && (await stat(path)).isDirectory()) return true;
    throw error;
  }
}
