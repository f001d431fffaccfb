import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { loadIdentity } from "#agent/mesh/identity.ts";

describe("identity", () => {
  let dir: string;
  const file = (): string => join(dir, "peer-key.json");

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "muster-identity-"));
  });

  afterEach(async () => {
    await rm(dir, { recursive: true });
  });

  test("is made once, for this user's eyes only, and stays", async () => {
    const first = await loadIdentity(dir);
    expect(first.peerId).toMatch(/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/);
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect(await readdir(dir)).toEqual(["peer-key.json"]);
    expect((await loadIdentity(dir)).peerId).toBe(first.peerId);
  });

  test("is not hindered by what a crash left behind", async () => {
    await writeFile(`${file()}.new`, "half", { mode: 0o644 });
    await loadIdentity(dir);
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect(await readdir(dir)).toEqual(["peer-key.json"]);
  });

  test.each([0o640, 0o604, 0o660])("is refused when others may read it (%o)", async (mode) => {
    await loadIdentity(dir);
    await chmod(file(), mode);
    await expect(loadIdentity(dir)).rejects.toMatchObject({ kind: "path_error", facts: { path: file() } });
  });

  test("is not made anew where another one is known to belong", async () => {
    const { peerId } = await loadIdentity(dir);
    expect((await loadIdentity(dir, { owner: peerId })).peerId).toBe(peerId);
    await rm(file());
    const facts = { path: file(), cause: expect.stringContaining(`belongs to peer ${peerId}`) as string };
    await expect(loadIdentity(dir, { owner: peerId })).rejects.toMatchObject({ kind: "path_error", facts });
    expect(await readdir(dir)).toEqual([]);
    const other = await loadIdentity(dir);
    await expect(loadIdentity(dir, { owner: peerId })).rejects.toMatchObject({ kind: "path_error", facts });
    await expect(loadIdentity(dir, { owner: peerId })).rejects.toThrow(
      `the key of peer ${other.peerId}, but this data folder belongs to peer ${peerId}`,
    );
  });

  test("is replaced once its peer id was removed for good, and the old one is kept, unread by others", async () => {
    const { peerId: old } = await loadIdentity(dir);
    const fresh = await loadIdentity(dir, { owner: old, retired: old });
    expect(fresh.peerId).not.toBe(old);
    expect((await readdir(dir)).toSorted()).toEqual(["peer-key.json", "peer-key.retired.json"]);
    expect((await stat(join(dir, "peer-key.retired.json"))).mode & 0o777).toBe(0o600);
    // Killed before the store was told, killed between the two files, and ever after.
    expect((await loadIdentity(dir, { owner: old, retired: old })).peerId).toBe(fresh.peerId);
    await rm(file());
    const { peerId } = await loadIdentity(dir, { owner: old, retired: old });
    expect((await loadIdentity(dir, { owner: peerId, retired: old })).peerId).toBe(peerId);
    await rm(file());
    await expect(loadIdentity(dir, { owner: peerId, retired: old })).rejects.toMatchObject({
      kind: "path_error",
    });
  });

  test.each(["", "{}", '{"version":1,"type":"Ed25519","private_key":"AAAA"}'])(
    "is refused, not replaced, when it is damaged: %s",
    async (content) => {
      await writeFile(file(), content, { mode: 0o600 });
      await expect(loadIdentity(dir)).rejects.toMatchObject({
        kind: "path_error",
        facts: { cause: expect.stringContaining("move the whole data folder away") as string },
      });
      expect(await readFile(file(), "utf8")).toBe(content);
    },
  );
});
