import { AppError } from "#shared/errors/app-error.ts";
import type { RegisteredNode } from "#shared/registry/state.ts";

/** The envelope of seed 000 for a success. */
export interface Envelope<T> {
  readonly error: { readonly code: 0; readonly message: "ok" };
  readonly data: T;
  readonly status: true;
}

export function ok<T>(data: T): Envelope<T> {
  return { error: { code: 0, message: "ok" }, data, status: true };
}

/** The answer of a write that has nothing to tell. */
export const DONE = ok({});

/** A registered node as seed 000 shows it: the zone twice, and no login that was never given. */
export interface WireNode {
  readonly user?: string;
  readonly hostname: string;
  readonly repl_user?: string;
  readonly uri: string;
  readonly zone_id: number;
  readonly name: string;
  readonly cfg: Readonly<Record<string, unknown>>;
  readonly zone: number;
}

export function toWireNode(node: RegisteredNode): WireNode {
  const { user, hostname, replUser, uri, zoneId, name, cfg } = node;
  return {
    ...(user === undefined ? {} : { user }),
    hostname,
    ...(replUser === undefined ? {} : { repl_user: replUser }),
    uri,
    zone_id: zoneId,
    name,
    cfg,
    zone: zoneId,
  };
}

/** A zone id from a path: plain decimal. Anything else names no zone; the seed knows no other error there. */
export function toZoneId(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new AppError("zone_not_found", { zone: text });
  return Number(text);
}
