import { Type } from "typebox";
import { Value } from "typebox/value";

import { joinBinding } from "./binding.ts";
import { contactsIn } from "./contacts.ts";
import { CopyQuestion } from "./copy-messages.ts";
import { examinerOf, logTime, tokenRefusal, WrongProof, type Examined } from "./examiner.ts";
import { FailedProofs, type ProofLimits } from "./failed-proofs.ts";
import { refuseMisfit } from "./fitness.ts";
import {
  AnyVersion,
  JOIN_PROTOCOL_VERSION,
  JoinHello,
  JoinProof,
  MembershipQuestion,
  receive,
  type JoinAcceptance,
  type JoinChallenge,
  type JoinRehearsed,
  type JoinVerdict,
  type MembershipReply,
} from "./join-messages.ts";
import { failureOf } from "./refusal.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { JoinProofs, Scram } from "#agent/ports/credentials.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Registry } from "#agent/ports/registry.ts";
import type { ClusterIdentity, IdentityStore } from "#agent/ports/store.ts";
import type { StrangerChannel, StrangerTransport, Wire } from "#agent/ports/transport.ts";
import { clockOffsetMs } from "#shared/bootstrap/clock-offset.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { Refusal } from "#shared/errors/kinds.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { JOIN_CLOCK_OFFSET_MS_MAX, JOIN_FRAME_BYTES_MAX } from "#shared/lib/limits.ts";
import { NewMember, type CommandOf } from "#shared/registry/command.ts";
import { admission } from "#shared/registry/reducers/admission.ts";
import { nameOf } from "#shared/registry/queries/members.ts";

/** Longest a joiner may take for one message; its proof costs it a password hash. Milliseconds. */
const JOINER_MS_MAX = 10_000;
/**
 * Longest from acceptance to verdict, a commit included; the joiner waits a little longer. Within it a change of leader passes
 * unnoticed. Milliseconds.
 */
const VERDICT_MS_MAX = 12_000;

const Opening = Type.Union([MembershipQuestion, CopyQuestion, JoinHello, AnyVersion]);

/** What a sponsor needs of the rest of the agent. */
export interface SponsorDeps {
  /** This agent's own peer id. */
  readonly self: MemberId;
  readonly transport: StrangerTransport;
  readonly registry: Registry;
  readonly identity: IdentityStore;
  readonly scram: Scram;
  readonly proofs: JoinProofs;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether this agent's own bootstrap is completed: before that it may still take everything back. */
  readonly isMember: () => boolean;
  /** Whether this agent sees the member alive. */
  readonly isAlive: (peer: MemberId) => boolean;
  /** Answers a host that asks for this agent's copy of the registry. Resolves when it has gone, rejects with the reason to refuse it. */
  readonly answerCopy: (channel: StrangerChannel, question: CopyQuestion) => Promise<void>;
}

/** Lets hosts into the cluster that prove a password, a token or a certificate: the member's side of the join conversation. */
export class Sponsor {
  readonly #deps: SponsorDeps;
  readonly #failed: FailedProofs;
  readonly #clockLimitMs: number;

  /** `clockLimitMs`: how far a joiner's clock may be off this one's. */
  constructor(
    deps: SponsorDeps,
    options: { readonly limits?: ProofLimits; readonly clockLimitMs?: number } = {},
  ) {
    this.#deps = deps;
    this.#clockLimitMs = options.clockLimitMs ?? JOIN_CLOCK_OFFSET_MS_MAX;
    this.#failed = new FailedProofs(deps, options.limits);
  }

  /** Answers strangers from now on; refuses them with not_in_cluster as long as this agent is no member. Call it once. */
  start(): void {
    this.#deps.transport.onJoin((channel) => this.#converse(channel));
  }

  async #converse(channel: StrangerChannel): Promise<void> {
    const { log } = this.#deps;
    const joiner = channel.remote;
    try {
      const opening = await receive(channel, Opening, { timeoutMs: JOINER_MS_MAX });
      if (Value.Check(MembershipQuestion, opening)) await channel.send(await this.#reply(joiner));
      else if (Value.Check(CopyQuestion, opening)) await this.#deps.answerCopy(channel, opening);
      else await this.#welcome(channel, opening);
    } catch (error) {
      if (isKind(error, "peer_unreachable") || isKind(error, "peer_timeout")) {
        log.info({ joiner, reason: error.message }, "a joiner went away");
        return;
      }
      const { code, details } = failureOf(this.#byName(error), log);
      log.warn({ joiner, code, reason: details.message }, "a host was refused");
      await channel.send({ refused: { code, details } as unknown as Wire }).catch(() => undefined);
    }
  }

  /** Voters that are missing are told by the names that an operator knows. */
  #byName(error: unknown): unknown {
    if (!isKind(error, "quorum_lost")) return error;
    const { state } = this.#deps.registry;
    const { leader, missing } = error.facts;
    return new AppError("quorum_lost", { leader, missing: missing.map((peer) => nameOf(state, peer)) });
  }

  /** What the asker may know: about itself, and what anybody is told about this cluster. */
  async #reply(asker: MemberId): Promise<MembershipReply> {
    const { registry } = this.#deps;
    const { clusterId, incarnation } = await this.#cluster();
    return { cluster_id: clusterId, incarnation, removed_at: registry.state.tombstones.get(asker) ?? null };
  }

  /** Hears the joiner out and lets it in, or says that it would be let in. Rejects with the reason to refuse it. */
  async #welcome(channel: StrangerChannel, opening: unknown): Promise<void> {
    const { clock, registry, log } = this.#deps;
    const heardAt = clock.now();
    const hello = this.#helloIn(channel, opening);
    const cluster = await this.#cluster();
    this.#failed.refuse(channel.remote);
    const { examined, offset } = await this.#examine(channel, hello, { cluster, heardAt });
    const { by, token, signature } = examined;
    await channel.send({
      accepted: true,
      ...(signature === undefined ? {} : { server_signature: signature }),
    } satisfies JoinAcceptance);

    if (Math.abs(offset) > this.#clockLimitMs) {
      throw new AppError("time_not_sync", { offset_ms: offset, limit_ms: this.#clockLimitMs });
    }
    const command = commandOf(hello, token);
    const until = clock.monotonicMs() + VERDICT_MS_MAX;
    await this.#judge(hello, command, until);
    if (hello.rehearse === true) {
      await channel.send({ rehearsed: true } satisfies JoinRehearsed);
      log.info({ joiner: channel.remote, by }, "a host would be let in");
      return;
    }
    const { index, uid } = await this.#admit(command, by, until);
    const { lineage } = cluster;
    await channel.send({
      uid,
      cluster_name: registry.state.cluster?.name ?? "",
      ...(lineage === undefined ? {} : { lineage }),
      contacts: this.#contacts(channel.remote),
      join_index: index,
    } satisfies JoinVerdict);
    log.info({ joiner: channel.remote, uid, index, by, tokenId: token }, "a host joins");
  }

  #helloIn(channel: StrangerChannel, opening: unknown): JoinHello {
    if (!Value.Check(JoinHello, opening)) {
      const version = Value.Check(AnyVersion, opening) ? opening.v : JOIN_PROTOCOL_VERSION;
      if (version === JOIN_PROTOCOL_VERSION) {
        const reason = "it does not keep to the join protocol";
        throw new AppError("peer_refused", { peer: channel.remote, reason });
      }
      throw new AppError("node_config_mismatch", {
        setting: "join protocol version",
        expected: String(JOIN_PROTOCOL_VERSION),
        actual: String(version),
      });
    }
    if (opening.member.peer !== channel.remote) {
      throw new AppError("access_denied", {}, "the joiner does not have the peer id that it claims");
    }
    return opening;
  }

  /** Makes sure of the joiner. `offset`: how far its clock is ahead of this host's. */
  async #examine(
    channel: StrangerChannel,
    hello: JoinHello,
    { cluster, heardAt }: { readonly cluster: ClusterIdentity; readonly heardAt: number },
  ): Promise<{ readonly examined: Examined; readonly offset: number }> {
    const { clock, self } = this.#deps;
    const joiner = channel.remote;
    const examiner = await examinerOf(this.#deps, hello, clock.now());
    const { clusterId, incarnation } = cluster;
    const challenge: JoinChallenge = { ...examiner.challenge, cluster_id: clusterId, incarnation };
    const askedAt = clock.now();
    await channel.send(challenge);
    const { proof, clock_ms } = await receive(channel, JoinProof, { timeoutMs: JOINER_MS_MAX });
    this.#failed.refuse(joiner); // Again: many conversations may have begun at once.
    try {
      const examined = examiner.check(proof, joinBinding(joiner, self, hello, challenge));
      return {
        examined,
        offset: clockOffsetMs({ sentAt: hello.clock_ms, heardAt, askedAt, gotAt: clock_ms }),
      };
    } catch (error) {
      if (!(error instanceof WrongProof)) throw error;
      this.#failed.add(joiner);
      throw error.refusal;
    }
  }

  /** The cluster this agent may speak for. Throws not_in_cluster; overloaded while its copy of the registry must not be served. */
  async #cluster(): Promise<ClusterIdentity> {
    const { isMember, identity, registry } = this.#deps;
    const cluster = isMember() ? await identity.cluster() : null;
    if (cluster === null || registry.state.cluster === null) throw new AppError("not_in_cluster", {});
    if (registry.status().quarantined) {
      const text = "this agent's copy of the registry is being replaced; another agent may answer now";
      throw new AppError("overloaded", { what: "this agent" }, text);
    }
    return cluster;
  }

  /**
   * Whether the cluster would take the host: the very rules by which the command is judged when it is applied. This agent's copy may be
   * behind, so nobody is refused, or told that it may come, by a copy that was not just brought up to date.
   */
  async #judge(hello: JoinHello, command: CommandOf<"member.add">, until: number): Promise<void> {
    const { registry, clock, isAlive } = this.#deps;
    const judged = () => admission(registry.state, command, logTime(registry.state, clock.now()));
    const misfit = (): void => {
      refuseMisfit({ state: registry.state, config: registry.status().config, isAlive }, hello);
    };
    if (hello.rehearse !== true) {
      try {
        misfit();
        if (judged().ok) return;
      } catch {
        // Below, once more.
      }
    }
    await registry.readBarrier({ timeoutMs: until - clock.monotonicMs() });
    misfit();
    const admitted = judged();
    if (!admitted.ok) throw this.#refusal(admitted.refusal, command);
  }

  /** Writes the host down as a member. */
  async #admit(
    command: CommandOf<"member.add">,
    by: string,
    until: number,
  ): Promise<{ readonly index: number; readonly uid: number }> {
    const { registry, clock } = this.#deps;
    const { index, result } = await registry.submit(command, {
      by,
      timeoutMs: until - clock.monotonicMs(),
    });
    if (!result.ok) throw this.#refusal(result.refusal, command);
    return { index, uid: Number(result.value["uid"]) };
  }

  /** In words; what is wrong with a token is told more exactly than the registry does. */
  #refusal(refusal: Refusal, { token, member }: CommandOf<"member.add">): AppError {
    const { registry, clock } = this.#deps;
    const { state } = registry;
    const told =
      refusal.kind === "access_denied" && token !== undefined
        ? tokenRefusal(state, state.tokens.get(token), member.peer, clock.now())
        : null;
    return told ?? AppError.of(refusal);
  }

  /** Whom the new member may pull the registry from: as many as a frame takes. */
  #contacts(joiner: MemberId): JoinVerdict["contacts"] {
    const { registry, self } = this.#deps;
    const { voters } = registry.status().config;
    const contacts: JoinVerdict["contacts"] = [];
    let bytes = 0;
    for (const { peer, meshAddrs } of contactsIn(registry.state, { self, voters, without: joiner })) {
      const one = { peer, mesh_addrs: [...meshAddrs] };
      bytes += JSON.stringify(one).length;
      if (bytes > JOIN_FRAME_BYTES_MAX / 2 && contacts.length > 0) break;
      contacts.push(one);
    }
    return contacts;
  }
}

function commandOf(
  { member, want_uid, override_rack_id }: JoinHello,
  token: string | undefined,
): CommandOf<"member.add"> {
  return {
    type: "member.add",
    member: Value.Clean(NewMember, structuredClone(member)) as NewMember,
    ...(want_uid === undefined ? {} : { want_uid }),
    ...(override_rack_id === undefined ? {} : { override_rack_id }),
    ...(token === undefined ? {} : { token }),
  };
}
