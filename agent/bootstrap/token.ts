import { Type } from "typebox";

import type { PeerAddresses } from "#agent/ports/transport.ts";
import { checked } from "#shared/contract/check.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { TOKEN_CHARS_MAX, TOKEN_PEERS_MAX } from "#shared/lib/limits.ts";

/** Begins every join token, so that people, and those who look for leaked secrets, know one when they see it. */
const PREFIX = "muster1.";
/** Addresses told of one member. */
const ADDRESSES_MAX = 8;

const Content = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64 }),
  /** At least 128 bits; those that are made here have 256. */
  secret: Type.String({ minLength: 22, maxLength: 128, pattern: "^[A-Za-z0-9_-]+$" }),
  cluster_id: Type.String({ minLength: 1, maxLength: 128 }),
  peers: Type.Array(
    Type.Object({
      peer: Type.String({ minLength: 1, maxLength: 128 }),
      mesh_addrs: Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: ADDRESSES_MAX }),
    }),
    { minItems: 1, maxItems: TOKEN_PEERS_MAX },
  ),
});

/**
 * What a join token says: which cluster, which of its members may be believed, and a secret to prove to them. It pins their keys, so
 * that nobody else is ever spoken to.
 */
export interface TokenContent {
  readonly id: string;
  readonly secret: string;
  readonly clusterId: string;
  readonly peers: readonly PeerAddresses[];
}

/** The token as text, at most TOKEN_CHARS_MAX long: what does not fit of the later peers is left out. */
export function encodeToken({ id, secret, clusterId, peers }: TokenContent): string {
  const told = peers.slice(0, TOKEN_PEERS_MAX).map(({ peer, meshAddrs }) => ({
    peer,
    mesh_addrs: meshAddrs.slice(0, ADDRESSES_MAX),
  }));
  for (;;) {
    const json = JSON.stringify({ id, secret, cluster_id: clusterId, peers: told });
    const text = PREFIX + Buffer.from(json, "utf8").toString("base64url");
    if (text.length <= TOKEN_CHARS_MAX || told.length <= 1) return text;
    told.pop();
  }
}

/** Reads a token. Throws config_error; what was given is never repeated in it. */
export function decodeToken(text: string): TokenContent {
  const content = checked(Content, jsonIn(text.trim()));
  if (content === null) {
    const rule = `is no join token: it must be the whole text that begins with ${PREFIX}`;
    throw new AppError("config_error", { field: "credentials.token", rule });
  }
  return {
    id: content.id,
    secret: content.secret,
    clusterId: content.cluster_id,
    peers: content.peers.map(({ peer, mesh_addrs }) => ({ peer, meshAddrs: mesh_addrs })),
  };
}

function jsonIn(text: string): unknown {
  if (!text.startsWith(PREFIX) || text.length > TOKEN_CHARS_MAX) return null;
  try {
    return JSON.parse(Buffer.from(text.slice(PREFIX.length), "base64url").toString("utf8"));
  } catch {
    return null;
  }
}
