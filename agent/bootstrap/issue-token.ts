import { contactsIn } from "./contacts.ts";
import { encodeToken } from "./token.ts";
import type { TokenSecrets } from "#agent/ports/credentials.ts";
import type { Registry } from "#agent/ports/registry.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { TOKEN_PEERS_MAX } from "#shared/lib/limits.ts";
import { epochMs, type EpochMs } from "#shared/lib/time.ts";

/** A new join token. `token` is its whole text, which nobody can be shown a second time: the cluster keeps only what checks it. */
export interface IssuedToken {
  readonly id: string;
  readonly token: string;
  /** By the log's time. */
  readonly expiresAt: EpochMs;
}

/**
 * Makes a token that lets one host in. Resolves once the cluster knows it. It names this agent, the voters and others as those who may
 * be believed. Rejects as Registry.submit does, and with limit_reached.
 */
export async function issueToken(
  {
    registry,
    tokens,
    self,
  }: { readonly registry: Registry; readonly tokens: TokenSecrets; readonly self: MemberId },
  { ttlMs, note }: { readonly ttlMs: number; readonly note: string },
  options: Parameters<Registry["submit"]>[1],
): Promise<IssuedToken> {
  const { id, secret, keys } = tokens.draw();
  const { result } = await registry.submit(
    { type: "token.create", id, keys, note, ttl_ms: ttlMs, created_by: options.by },
    options,
  );
  if (!result.ok) throw AppError.of(result.refusal);
  const { cluster } = registry.state;
  if (cluster === null) throw new AppError("not_in_cluster", {});
  const { voters } = registry.status().config;
  const peers = contactsIn(registry.state, { self, voters }).slice(0, TOKEN_PEERS_MAX);
  const token = encodeToken({ id, secret, clusterId: cluster.id, peers });
  return { id, token, expiresAt: epochMs(Number(result.value["expires_at"])) };
}
