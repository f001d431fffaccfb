import type { PrivateKey } from "@libp2p/interface";
import type { FileHandle } from "node:fs/promises";
import type { MemberId } from "#shared/lib/ids.ts";
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from "@libp2p/crypto/keys";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Type } from "typebox";
import { Value } from "typebox/value";
import { AppError } from "#shared/errors/app-error.ts";

/** Who this agent is on the mesh. The peer id is made of the public key, so it needs no authority and cannot be taken. */
export interface MeshIdentity {
  readonly peerId: MemberId;
  readonly privateKey: PrivateKey;
}

const FILE = "peer-key.json";
/** Where a key goes whose peer id was removed from its cluster for good; it opens nothing any more. */
const RETIRED_FILE = "peer-key.retired.json";
/** Never the key alone: what is stored beside it belongs to the peer that has this key. */
const ANEW = "or move the whole data folder away and join anew";
const MODE = 0o600;
const OTHERS = 0o077;

const KeyFile = Type.Object({
  version: Type.Literal(1),
  type: Type.Literal("Ed25519"),
  /** The libp2p protobuf form of the private key, base64. */
  private_key: Type.String({ minLength: 1, maxLength: 1024 }),
});

/**
 * The agent's own key from that directory; made on the first start. A damaged file, or one that others may read, is
 * refused with path_error and never replaced: a new key would be another member. So is a missing or another key when the
 * directory is known to belong to the peer `owner`: its members would turn the stranger away for ever. The key of the peer
 * `retired`, which its cluster has removed for good, is put aside and replaced.
 */
export async function loadIdentity(
  dir: string,
  options: { readonly owner?: MemberId | null; readonly retired?: MemberId | null } = {},
): Promise<MeshIdentity> {
  const path = join(dir, FILE);
  const { retired = null } = options;
  const owner = options.owner === retired ? null : (options.owner ?? null);
  let found = await readKey(path);
  if (found !== null && peerIdFromPrivateKey(found).toString() === retired) {
    await rename(path, join(dir, RETIRED_FILE));
    found = null;
  }
  if (found === null && owner !== null) throw foreign(path, owner, "missing");
  const privateKey = found ?? (await makeKey(dir, path));
  const peerId = peerIdFromPrivateKey(privateKey).toString();
  if (owner !== null && peerId !== owner) throw foreign(path, owner, `the key of peer ${peerId}`);
  return { peerId, privateKey };
}

function foreign(path: string, owner: MemberId, what: string): AppError {
  const cause = `${what}, but this data folder belongs to peer ${owner}; restore its peer-key.json, ${ANEW}`;
  return new AppError("path_error", { path, cause });
}

async function readKey(path: string): Promise<PrivateKey | null> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
  try {
    const { mode } = await file.stat();
    if ((mode & OTHERS) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(4, "0");
      throw new AppError("path_error", {
        path,
        cause: `others may read this agent's private key (mode ${octal}); if nobody has copied it, run chmod 600 on it`,
      });
    }
    return decodeKey(path, await file.readFile("utf8"));
  } finally {
    await file.close();
  }
}

function decodeKey(path: string, text: string): PrivateKey {
  try {
    const stored = Value.Parse(KeyFile, JSON.parse(text));
    const key = privateKeyFromProtobuf(Buffer.from(stored.private_key, "base64"));
    if (key.type === "Ed25519") return key;
  } catch {
    // Told below: what the parser says would quote the key.
  }
  throw new AppError("path_error", {
    path,
    cause: `not a key file of this version; restore it from a backup, ${ANEW}`,
  });
}

/** Written aside, synced and renamed, so that a crash leaves a whole key or none. */
async function makeKey(dir: string, path: string): Promise<PrivateKey> {
  const key = await generateKeyPair("Ed25519");
  const stored = {
    version: 1,
    type: "Ed25519",
    private_key: Buffer.from(privateKeyToProtobuf(key)).toString("base64"),
  };
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const file = await open(temporary, "wx", MODE);
  try {
    await file.writeFile(`${JSON.stringify(stored)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const folder = await open(dir, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
  return key;
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
