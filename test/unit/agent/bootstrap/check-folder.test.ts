import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { lookAtFolder, tryFolder } from "#agent/bootstrap/check-folder.ts";
import { isKind } from "#shared/errors/app-error.ts";
import type { ErrorFacts } from "#shared/errors/kinds.ts";

const run = promisify(execFile);
const root = process.getuid?.() === 0;
const NOBODY = 65_534;
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "muster-folder-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const CHECKS = [
  ["tryFolder", tryFolder],
  ["lookAtFolder", lookAtFolder],
] as const;

async function troubleWith(check: typeof tryFolder, path: string): Promise<ErrorFacts["path_error"]> {
  const error: unknown = await check(path).catch((thrown: unknown) => thrown);
  if (!isKind(error, "path_error")) throw new Error(`no path_error: ${String(error)}`);
  expect(error.message).toContain("choose another path");
  return error.facts;
}

describe.each(CHECKS)("%s", (_name, check) => {
  test("takes a folder that is there, and one that can be made, and tells the size of its file system", async () => {
    const { totalBytes } = await check(dir);
    expect(totalBytes).toBeGreaterThan(0);
    expect(await check(join(dir, "a/b/c"))).toEqual({ totalBytes });
  });

  test("leaves nothing in the folder", async () => {
    await writeFile(join(dir, "kept"), "data");
    await check(dir);
    expect(await readdir(dir)).toEqual(["kept"]);
  });

  test("a file in its place, or above it", async () => {
    const path = join(dir, "file");
    await writeFile(path, "");
    expect(await troubleWith(check, path)).toMatchObject({
      path,
      errno: check === tryFolder ? "EEXIST" : "ENOTDIR",
    });
    const below = join(path, "below");
    expect(await troubleWith(check, below)).toMatchObject({ path: below, errno: "ENOTDIR" });
  });

  test("a link that leads nowhere", async () => {
    const path = join(dir, "link");
    await symlink(join(dir, "gone"), path);
    expect(await troubleWith(check, path)).toMatchObject({ path, errno: "ENOENT" });
  });

  test("a name that is too long", async () => {
    const path = join(dir, "a".repeat(256));
    expect(await troubleWith(check, path)).toMatchObject({ path, errno: "ENAMETOOLONG" });
  });

  test("a file system that takes no files", async () => {
    const { path, errno, cause } = await troubleWith(check, "/proc/muster");
    expect(path).toBe("/proc/muster");
    expect(errno).toBe("ENOENT");
    expect(cause).not.toContain("mkdir");
  });

  describe.skipIf(!canMount())("of a mounted file system", () => {
    let at: string;
    beforeEach(async () => {
      at = join(dir, "mount");
      await mkdir(at);
    });
    afterEach(() => run("umount", [at]));

    test("that is read-only", async () => {
      await run("mount", ["-t", "tmpfs", "-o", "ro,size=64m", "tmpfs", at]);
      expect(await troubleWith(check, at)).toMatchObject({ path: at, errno: "EROFS" });
      expect(await troubleWith(check, join(at, "a/b"))).toMatchObject({ errno: "EROFS" });
    });

    test("that has next to no room", async () => {
      await run("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", at]);
      const { errno, cause } = await troubleWith(check, at);
      expect(errno).toBe("ENOSPC");
      expect(cause).toContain("1048576 bytes are free on its file system, and at least 16777216 are needed");
    });

    test("that has no more room for files", async () => {
      await run("mount", ["-t", "tmpfs", "-o", "size=64m,nr_inodes=3", "tmpfs", at]);
      await writeFile(join(at, "1"), "");
      await writeFile(join(at, "2"), "");
      expect(await troubleWith(check, at)).toMatchObject({ errno: "ENOSPC" });
    });
  });
});

describe("a folder of somebody else", () => {
  // Nothing is closed to root: somebody with no rights looks in its place.
  test.each(CHECKS)("%s", async (name) => {
    const path = join(dir, "theirs");
    await mkdir(path);
    await chmod(path, root ? 0o700 : 0o500);
    await chmod(dir, 0o755);
    const code = `
      const { ${name}: check } = await import("#agent/bootstrap/check-folder.ts");
      for (const path of process.argv.slice(1)) {
        await check(path).then(() => console.log("fine"), ({ facts }) => console.log(facts.errno));
      }`;
    const args = ["--input-type=module", "-e", code, path, join(path, "below"), dir];
    const who = root ? { uid: NOBODY, gid: NOBODY } : {};
    const { stdout } = await run(process.execPath, args, { ...who, cwd: process.cwd() });
    expect(stdout.split("\n").slice(0, root ? 3 : 2)).toEqual(
      root ? ["EACCES", "EACCES", "EACCES"] : ["EACCES", "EACCES"],
    );
  });
});

test("looking makes nothing", async () => {
  await lookAtFolder(join(dir, "a/b/c"));
  expect(await readdir(dir)).toEqual([]);
});

test("what is made is private to the agent", async () => {
  await tryFolder(join(dir, "a/b"));
  expect((await stat(join(dir, "a/b"))).mode & 0o777).toBe(0o750);
});

/** Whether this process may mount file systems. */
function canMount(): boolean {
  const at = mkdtempSync(join(tmpdir(), "muster-mount-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", at], { stdio: "ignore" });
    execFileSync("umount", [at]);
    return true;
  } catch {
    return false;
  } finally {
    rmdirSync(at);
  }
}
