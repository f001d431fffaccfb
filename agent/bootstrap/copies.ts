import { packCopy, pieceAt, ZSTD, type CopyPacking, type PackedCopy } from "./copies-pack.ts";
import {
  COPY_PROTOCOL_VERSION,
  copyBinding,
  CopyHello,
  CopyProof,
  CopyPull,
  type CopyChallenge,
  type CopyHead,
  type CopyQuestion,
  type CopyReply,
} from "./copy-messages.ts";
import { FailedProofs, type ProofLimits } from "./failed-proofs.ts";
import { receive } from "./join-messages.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Scram } from "#agent/ports/credentials.ts";
import type { Log } from "#agent/ports/log.ts";
import type { ClusterRuntime, HeldCopy } from "#agent/ports/registry.ts";
import type { ClusterIdentity, IdentityStore } from "#agent/ports/store.ts";
import type { StrangerChannel } from "#agent/ports/transport.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { usersByUid } from "#shared/registry/queries/users.ts";
import type { ClusterInfo, RegistryState, User } from "#shared/registry/state.ts";

/** Longest the asker may take for one message; its proof costs it a password hash. Milliseconds. */
const ASKER_MS_MAX = 10_000;
/** How long the users of the own copy are believed before they are read from the disk again. Milliseconds. */
const USERS_MS = 60_000;

interface Deps {
  /** This agent's own peer id. */
  readonly self: MemberId;
  readonly runtime: Pick<ClusterRuntime, "copy" | "registry">;
  readonly identity: Pick<IdentityStore, "cluster">;
  readonly scram: Scram;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether this agent is a member: before its bootstrap is completed it may still take everything back. */
  readonly isMember: () => boolean;
  /** Whether it is recovering its cluster now. */
  readonly isRecovering: () => boolean;
  readonly packing?: CopyPacking;
}

/**
 * Hands out what this host holds of a cluster without a leader: the other side of a recovery's survey. Anybody is told which cluster
 * it is and whether it has a leader; the copy itself holds password verifiers, and only an administrator of that cluster gets it.
 *
 * Strangers cost little: what they may ask without a proof makes the disk be read once a minute at most, and wrong proofs are counted.
 */
export class Copies {
  readonly #deps: Deps;
  readonly #failed: FailedProofs;
  #users: { readonly users: RegistryState["users"]; readonly atMs: number } | null = null;
  #reading: Promise<HeldCopy> | null = null;

  constructor(deps: Deps, options: { readonly limits?: ProofLimits } = {}) {
    this.#deps = deps;
    this.#failed = new FailedProofs(deps, options.limits);
  }

  /** The conversation after its opening question. Resolves when the asker has what it wants; rejects with the reason to refuse. */
  async answer(channel: StrangerChannel, question: CopyQuestion): Promise<void> {
    if (question.v !== COPY_PROTOCOL_VERSION) {
      throw new AppError("node_config_mismatch", {
        setting: "copy protocol version",
        expected: String(COPY_PROTOCOL_VERSION),
        actual: String(question.v),
      });
    }
    const { clock, log } = this.#deps;
    const identity = await this.#cluster();
    const reply = this.#reply(identity);
    await channel.send(reply);
    if (reply.leader || reply.recovering) return;
    try {
      const copy = await this.#prove(channel, identity);
      if (copy === null) return;
      const began = clock.monotonicMs();
      const bytes = await this.#handOut(channel, copy);
      if (bytes === 0) return;
      const tookMs = Math.round(clock.monotonicMs() - began);
      log.warn(
        { asker: channel.remote, bytes, tookMs },
        "a copy of the registry was handed out for a recovery",
      );
    } catch (error) {
      // It hung up: what it heard was enough for it.
      if (!isKind(error, "peer_unreachable")) throw error;
    }
  }

  /** The cluster this agent may speak for. Rejects with not_in_cluster. */
  async #cluster(): Promise<ClusterIdentity> {
    const { isMember, identity } = this.#deps;
    const cluster = isMember() ? await identity.cluster() : null;
    if (cluster === null) throw new AppError("not_in_cluster", {});
    return cluster;
  }

  #reply({ clusterId, incarnation, lineage }: ClusterIdentity): CopyReply {
    const { runtime, isRecovering } = this.#deps;
    const { leader, ageMs } = runtime.registry.status();
    return {
      cluster_id: clusterId,
      incarnation,
      ...(lineage === undefined ? {} : { lineage }),
      leader: leader !== null,
      recovering: isRecovering(),
      age_ms: ageMs,
    };
  }

  /** Hears whether the asker knows an administrator's password, and tells what is held here. */
  async #prove(
    channel: StrangerChannel,
    { clusterId, incarnation }: ClusterIdentity,
  ): Promise<HeldCopy | null> {
    const { scram, self } = this.#deps;
    const asker = channel.remote;
    const hello = await receive(channel, CopyHello, { timeoutMs: ASKER_MS_MAX });
    this.#failed.refuse(asker);
    const users = await this.#knownUsers();
    const user = users.get(hello.username) ?? null;
    const server = scram.server(
      { username: hello.username, nonce: hello.client_nonce },
      user?.verifier ?? null,
      referenceOf(users),
    );
    const challenge: CopyChallenge = { ...server.challenge, cluster_id: clusterId, incarnation };
    await channel.send(challenge);

    const { proof } = await receive(channel, CopyProof, { timeoutMs: ASKER_MS_MAX });
    this.#failed.refuse(asker); // Again: many conversations may have begun at once.
    const signature = server.check(proof, copyBinding(asker, self, hello, challenge));
    if (signature === null) {
      this.#failed.add(asker);
      throw new AppError("access_denied", {});
    }
    if (user?.role !== "admin") {
      throw new AppError("access_denied", {}, "only an administrator may have a copy of the registry");
    }
    // Read anew: entries may have come since, from a leader that is gone again.
    const copy = await this.#read();
    this.#refuseWhileLed();
    const { term, index, at } = copy.state;
    const head: CopyHead = {
      server_signature: signature,
      cluster_name: infoOf(copy).name,
      term,
      index,
      at_ms: at,
    };
    await channel.send(head);
    return copy;
  }

  /** Until the asker hangs up. Resolves with the bytes that went out. */
  async #handOut(channel: StrangerChannel, copy: HeldCopy): Promise<number> {
    const { packing = ZSTD } = this.#deps;
    let packed: PackedCopy | null = null;
    let bytes = 0;
    for (;;) {
      let offset: number;
      try {
        ({ offset } = await receive(channel, CopyPull, { timeoutMs: ASKER_MS_MAX }));
      } catch (error) {
        if (isKind(error, "peer_unreachable")) return bytes;
        throw error;
      }
      packed ??= await packCopy(copy.state, packing);
      const piece = pieceAt(packed, offset);
      if (piece === null) throw new AppError("not_found", { what: "a piece of the copy beyond its end" });
      await channel.send(piece);
      bytes += piece.data.length;
    }
  }

  async #knownUsers(): Promise<RegistryState["users"]> {
    const now = this.#deps.clock.monotonicMs();
    if (this.#users === null || now - this.#users.atMs >= USERS_MS) {
      const { state } = await this.#read();
      this.#users = { users: state.users, atMs: now };
    }
    return this.#users.users;
  }

  /** Several may ask at once; the disk is read once. Rejects with not_in_cluster when there is nothing. */
  #read(): Promise<HeldCopy> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<HeldCopy> {
    const copy = await this.#deps.runtime.copy();
    if (copy === null) throw new AppError("not_in_cluster", {});
    infoOf(copy);
    return copy;
  }

  #refuseWhileLed(): void {
    if (this.#deps.runtime.registry.status().leader === null) return;
    throw new AppError(
      "already_in_cluster",
      {},
      "the cluster has a leader again; nothing has to be recovered",
    );
  }
}

/** Throws not_in_cluster: this host joined, but had not received the registry yet. */
function infoOf({ state }: HeldCopy): ClusterInfo {
  if (state.cluster === null) throw new AppError("not_in_cluster", {});
  return state.cluster;
}

/** A real verifier, the same on all agents: that of the user who was first. Throws not_in_cluster without any. */
function referenceOf(users: RegistryState["users"]): User["verifier"] {
  const [first] = usersByUid({ users });
  if (first === undefined) throw new AppError("not_in_cluster", {});
  return first.verifier;
}
