import type { JoinHello } from "./join-messages.ts";
import type { JoinProofs, Scram, ScramBinding } from "#agent/ports/credentials.ts";
import type { Registry } from "#agent/ports/registry.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import { epochMs, type EpochMs } from "#shared/lib/time.ts";
import { nameOf } from "#shared/registry/queries/members.ts";
import { tokenStateOf } from "#shared/registry/queries/tokens.ts";
import { usersByUid } from "#shared/registry/queries/users.ts";
import type { JoinToken, RegistryState, User } from "#shared/registry/state.ts";

/** Longest to make sure that this agent's copy is up to date before it says that something does not exist. Milliseconds. */
const LOOK_AGAIN_MS_MAX = 3000;

/** Who was let in by what. */
export interface Examined {
  /** An administrator's name: who joins in their name. */
  readonly by: string;
  /** The token that will be used up. */
  readonly token?: string;
  /** Proves this agent to the joiner; nothing can, to one with a certificate. */
  readonly signature?: string;
}

/** The sponsor's part in one joiner's proof. */
interface Examiner {
  /** What goes into the challenge. */
  readonly challenge: { nonce: string; salt?: string; n?: number; r?: number; p?: number };
  /**
   * Throws WrongProof, or access_denied when the proof is right and yet lets nobody in. Whether a token is still good is no question
   * here: the registry judges it, when the command is applied.
   */
  check(proof: string, binding: ScramBinding): Examined;
}

/** The joiner does not have what it claims to have: it may be guessing. */
export class WrongProof extends Error {
  override readonly name = "WrongProof";
  /** What it is told. */
  readonly refusal: AppError;

  constructor(refusal = new AppError("access_denied", {})) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

interface Deps {
  readonly scram: Scram;
  readonly proofs: JoinProofs;
  readonly registry: Registry;
}

/** `at`: now, for the validity of certificates. */
export async function examinerOf(deps: Deps, hello: JoinHello, at: EpochMs): Promise<Examiner> {
  const { means } = hello;
  switch (means.by) {
    case "password":
      return ofPassword(deps, means.username, hello.client_nonce);
    case "token":
      return ofToken(deps, means.id);
    case "certificate":
      return ofCertificate(deps, means.chain, at);
  }
}

/** Why this token lets this peer in no more; null when it does. */
export function tokenRefusal(
  state: Readonly<RegistryState>,
  token: JoinToken | undefined,
  peer: string,
  at: EpochMs,
): AppError | null {
  const denied = (text: string): AppError => new AppError("access_denied", {}, text);
  if (token === undefined)
    return denied("this join token was revoked; an administrator can make another one");
  if (token.usedBy === peer) return null;
  if (token.usedBy !== null) {
    const name = nameOf(state, token.usedBy);
    return denied(`this join token was used by ${name} already; each host needs its own`);
  }
  return tokenStateOf(token, logTime(state, at)) === "expired"
    ? denied("this join token has expired; an administrator can make another one")
    : null;
}

/** What the log's time would be if something were written now: it never goes back. */
export function logTime(state: Readonly<RegistryState>, now: EpochMs): EpochMs {
  return epochMs(Math.max(state.at, now));
}

function ofPassword({ scram, registry }: Deps, username: string, nonce: string): Examiner {
  const user = registry.state.users.get(username) ?? null;
  const [reference] = usersByUid(registry.state);
  if (reference === undefined) throw new AppError("not_in_cluster", {});
  const server = scram.server({ username, nonce }, user?.verifier ?? null, reference.verifier);
  return {
    challenge: server.challenge,
    check: (proof, binding) => {
      const signature = server.check(proof, binding);
      if (signature === null) throw new WrongProof();
      demandAdministrator(user);
      return { by: username, signature };
    },
  };
}

async function ofToken({ proofs, registry }: Deps, id: string): Promise<Examiner> {
  if (!registry.state.tokens.has(id)) await lookAgain(registry);
  return {
    challenge: { nonce: proofs.nonce() },
    check: (proof, binding) => {
      const { state } = registry;
      const token = state.tokens.get(id);
      const signature = proofs.tokens.check(token?.keys ?? null, proof, binding);
      if (token === undefined) {
        throw new WrongProof(
          new AppError(
            "access_denied",
            {},
            "the cluster does not know this join token; it may have been revoked",
          ),
        );
      }
      if (signature === null) throw new WrongProof();
      return { by: token.createdBy, token: id, signature };
    },
  };
}

function ofCertificate({ proofs, registry }: Deps, chain: string, at: EpochMs): Examiner {
  return {
    challenge: { nonce: proofs.nonce() },
    check: (signature, binding) => {
      const { state } = registry;
      const trustedCa = state.cluster?.trustedCa ?? "";
      if (trustedCa === "") {
        const text =
          "this cluster trusts no certificate authority yet: an administrator sets its mtls_trusted_ca (PUT /v1/cluster), or join with a password or a token";
        throw new AppError("access_denied", {}, text);
      }
      const name = examine(() => proofs.certificates.holderOf({ chain, signature, binding, trustedCa, at }));
      demandAdministrator(state.users.get(name) ?? null, `the certificate is ${name}'s; `);
      return { by: name };
    },
  };
}

/** A wrong signature or a certificate of somebody else's making counts as a guess. */
function examine(work: () => string): string {
  try {
    return work();
  } catch (error) {
    if (isKind(error, "access_denied")) throw new WrongProof(error);
    throw error;
  }
}

function demandAdministrator(user: User | null, prefix = ""): void {
  if (user?.role === "admin") return;
  throw new AppError("access_denied", {}, `${prefix}only an administrator may let a host join`);
}

/** A token may have been made elsewhere a moment ago. Without a majority this agent's own copy has to do. */
async function lookAgain(registry: Registry): Promise<void> {
  await registry.readBarrier({ timeoutMs: LOOK_AGAIN_MS_MAX }).catch(() => undefined);
}
