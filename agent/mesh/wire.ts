import type { Static } from "typebox";
import type { Hello, Wire } from "#agent/ports/transport.ts";
import type { EpochMs } from "#shared/lib/time.ts";
import { Type } from "typebox";
import { Compile } from "typebox/compile";
import { AppError, isErrorKind } from "#shared/errors/app-error.ts";
import { HOST_ADDRESSES_MAX } from "#shared/lib/limits.ts";

/** Protocol ids on the wire; the number grows when the framing or the handshake changes. */
export const CONTROL_PROTOCOL = "/muster/control/1";
export const BULK_PROTOCOL = "/muster/bulk/1";
export const JOIN_PROTOCOL = "/muster/join/1";

const WireHello = Type.Object({
  cluster_id: Type.String({ minLength: 1, maxLength: 64 }),
  incarnation: Type.Integer({ minimum: 1 }),
  /** Absent in a cluster that was never recovered. */
  lineage: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  protocol: Type.Integer({ minimum: 1 }),
  software: Type.String({ maxLength: 64 }),
  clock_ms: Type.Integer(),
  mesh_addrs: Type.Array(Type.String({ maxLength: 128 }), { maxItems: HOST_ADDRESSES_MAX }),
  /** Drawn anew at each start of the agent: two of them at once under one peer id are two hosts with one key. */
  boot: Type.String({ minLength: 1, maxLength: 64 }),
});

/** What each side says first on a control stream. */
export type WireHello = Static<typeof WireHello>;

/**
 * Why a link ends. `duplicate`: there is another one already. `replaced`: the other side has no use for the old one.
 * `identity_in_use`: a second live host has the same key. `other_lineage`: two recoveries of one cluster were made apart. Unknown words of a later version are allowed.
 */
export type ByeReason =
  | "duplicate"
  | "replaced"
  | "identity_in_use"
  | "cluster_changed"
  | "other_cluster"
  | "other_incarnation"
  | "other_lineage"
  | "other_protocol"
  | "not_a_member"
  | "stopping"
  | "violation"
  | "silent";

/** One frame on a control or bulk stream. The keys are short because every message carries them. */
export type Envelope =
  | { readonly hello: WireHello }
  /** The dialer has accepted the other side's hello: the link is up. */
  | { readonly go: 1 }
  | { readonly bye: string }
  | { readonly ping: number }
  | { readonly pong: number }
  /** A message: topic and body. */
  | { readonly t: string; readonly b: Wire }
  /** A request: id, method and body. */
  | { readonly q: number; readonly m: string; readonly b: Wire }
  /** An answer to the request of that id: a body, or a refusal. */
  | { readonly a: number; readonly b: Wire }
  | { readonly a: number; readonly e: object }
  /** The request of that id is no longer waited for. */
  | { readonly c: number };

const Handshake = Compile(
  Type.Union([
    Type.Object({ hello: WireHello }),
    Type.Object({ go: Type.Literal(1) }),
    Type.Object({ bye: Type.String({ maxLength: 64 }) }),
    Type.Object({ ping: Type.Integer() }),
    Type.Object({ pong: Type.Integer() }),
  ]),
);

/** Checks what came off the wire; null if it is none of the envelopes. Messages first, by hand: they are the hot path. */
export function readEnvelope(value: unknown): Envelope | null {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const fields = value as Record<string, unknown>;
  const ok =
    typeof fields["t"] === "string"
      ? "b" in fields
      : "q" in fields
        ? isId(fields["q"]) && typeof fields["m"] === "string" && "b" in fields
        : "a" in fields
          ? isId(fields["a"]) && ("b" in fields || (typeof fields["e"] === "object" && fields["e"] !== null))
          : "c" in fields
            ? isId(fields["c"])
            : Handshake.Check(value);
  return ok ? (value as Envelope) : null;
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** The wire's hello as the rest of the agent knows it. */
export function toHello(wire: WireHello, heardAt: EpochMs): Hello {
  return {
    clusterId: wire.cluster_id,
    incarnation: wire.incarnation,
    ...(wire.lineage === undefined ? {} : { lineage: wire.lineage }),
    protocol: wire.protocol,
    software: wire.software,
    clockMs: wire.clock_ms,
    heardAtMs: heardAt,
    meshAddrs: wire.mesh_addrs,
  };
}

/** An error that a peer's handler threw. What is no refusal of a known kind is told as one that the peer gave. */
export function readRefusal(peer: string, value: object): AppError {
  const { kind, facts } = value as { readonly kind?: unknown; readonly facts?: unknown };
  if (typeof kind === "string" && isErrorKind(kind) && facts !== null && typeof facts === "object") {
    try {
      return AppError.of({ kind, facts } as Parameters<typeof AppError.of>[0]);
    } catch {
      // Facts of another shape: told below.
    }
  }
  return new AppError("peer_refused", { peer, reason: "an error this version does not know" });
}
