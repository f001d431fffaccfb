import { Type } from "typebox";
import { Value } from "typebox/value";

import { joinBinding } from "./binding.ts";
import { FailedProofs, type ProofLimits } from "./failed-proofs.ts";
import {
  JOIN_PROTOCOL_VERSION,
  JoinHello,
  JoinProof,
  MembershipQuestion,
  receive,
  type JoinChallenge,
  type JoinVerdict,
  type MembershipReply,
} from "./join-messages.ts";
import { failureOf } from "./refusal.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Scram } from "#agent/ports/credentials.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Registry } from "#agent/ports/registry.ts";
import type { IdentityStore } from "#agent/ports/store.ts";
import type { StrangerChannel, StrangerTransport, Wire } from "#agent/ports/transport.ts";
import { clockOffsetMs } from "#shared/bootstrap/clock-offset.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { JOIN_CLOCK_OFFSET_MS_MAX, JOIN_FRAME_BYTES_MAX } from "#shared/lib/limits.ts";
import { byText } from "#shared/lib/order.ts";
import { NewMember } from "#shared/registry/command.ts";
import type { Member, RegistryState, User } from "#shared/registry/state.ts";

/** Longest a joiner may take for one message; its proof costs it a password hash. Milliseconds. */
const JOINER_MS_MAX = 10_000;
/** Longest the commit of a new member may take; the joiner waits a little longer. Milliseconds. */
const COMMIT_MS_MAX = 12_000;

const Opening = Type.Union([MembershipQuestion, JoinHello]);

/** What a sponsor needs of the rest of the agent. */
export interface SponsorDeps {
  /** This agent's own peer id. */
  readonly self: MemberId;
  readonly transport: StrangerTransport;
  readonly registry: Registry;
  readonly identity: IdentityStore;
  readonly scram: Scram;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether this agent's own bootstrap is completed: before that it may still take everything back. */
  readonly isMember: () => boolean;
}

/** Lets hosts into the cluster that prove an administrator's password: the member's side of the join conversation. */
export class Sponsor {
  readonly #deps: SponsorDeps;
  readonly #failed: FailedProofs;

  constructor(deps: SponsorDeps, options: { readonly limits?: ProofLimits } = {}) {
    this.#deps = deps;
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
      if ("ask" in opening) {
        await channel.send(await this.#reply(joiner));
        return;
      }
      const verdict = await this.#judge(channel, opening);
      await channel.send(verdict);
      log.info({ joiner, uid: verdict.uid, index: verdict.join_index }, "a host joins");
    } catch (error) {
      if (isKind(error, "peer_unreachable") || isKind(error, "peer_timeout")) {
        log.info({ joiner, reason: error.message }, "a joiner went away");
        return;
      }
      const { code, details } = failureOf(error, log);
      log.warn({ joiner, code, reason: details.message }, "a host was refused");
      await channel.send({ refused: { code, details } as unknown as Wire }).catch(() => undefined);
    }
  }

  /** What the asker may know: about itself, and what anybody is told about this cluster. */
  async #reply(asker: MemberId): Promise<MembershipReply> {
    const { registry } = this.#deps;
    const { clusterId, incarnation } = await this.#cluster();
    return { cluster_id: clusterId, incarnation, removed_at: registry.state.tombstones.get(asker) ?? null };
  }

  /** Hears the joiner out. Rejects with the reason to refuse it. */
  async #judge(channel: StrangerChannel, hello: JoinHello): Promise<JoinVerdict> {
    const { clock, scram, registry } = this.#deps;
    const joiner = channel.remote;
    const heardAt = clock.now();
    if (hello.v !== JOIN_PROTOCOL_VERSION) {
      throw new AppError("node_config_mismatch", {
        setting: "join protocol version",
        expected: String(JOIN_PROTOCOL_VERSION),
        actual: String(hello.v),
      });
    }
    const { incarnation, clusterId, reference } = await this.#cluster();
    if (hello.member.peer !== joiner) {
      throw new AppError("access_denied", {}, "the joiner does not have the peer id that it claims");
    }
    this.#refuseGuesser(joiner);

    const user = registry.state.users.get(hello.username) ?? null;
    const first = { username: hello.username, nonce: hello.client_nonce };
    const server = scram.server(first, user?.verifier ?? null, reference.verifier);
    const challenge: JoinChallenge = { ...server.challenge, cluster_id: clusterId, incarnation };
    const askedAt = clock.now();
    await channel.send(challenge);

    const proof = await receive(channel, JoinProof, { timeoutMs: JOINER_MS_MAX });
    this.#refuseGuesser(joiner); // Again: many conversations may have begun at once.
    const binding = joinBinding(joiner, this.#deps.self, hello, challenge);
    const signature = server.check(proof.proof, binding);
    if (signature === null) {
      this.#failed.add(joiner);
      throw new AppError("access_denied", {});
    }
    if (user?.role !== "admin") {
      throw new AppError("access_denied", {}, "only an administrator may let a host join");
    }

    const offset = clockOffsetMs({ sentAt: hello.clock_ms, heardAt, askedAt, gotAt: proof.clock_ms });
    if (Math.abs(offset) > JOIN_CLOCK_OFFSET_MS_MAX) {
      throw new AppError("time_not_sync", { offset_ms: offset, limit_ms: JOIN_CLOCK_OFFSET_MS_MAX });
    }
    this.#refuseMisfit(hello);
    return this.#admit(hello, signature);
  }

  /** The cluster this agent may speak for. Throws not_in_cluster. */
  async #cluster(): Promise<{ incarnation: number; clusterId: string; reference: User }> {
    const { isMember, identity, registry } = this.#deps;
    const cluster = isMember() ? await identity.cluster() : null;
    const reference = firstUser(registry.state);
    if (cluster === null || registry.state.cluster === null || reference === null) {
      throw new AppError("not_in_cluster", {});
    }
    return { incarnation: cluster.incarnation, clusterId: cluster.clusterId, reference };
  }

  #refuseGuesser(joiner: MemberId): void {
    const retry_after_s = this.#failed.waitS(joiner);
    if (retry_after_s > 0) throw new AppError("too_many_attempts", { retry_after_s });
  }

  #refuseMisfit({ member, want_uid }: JoinHello): void {
    const { registry } = this.#deps;
    const { state } = registry;
    if (state.cluster?.rackAware === true && member.rack_id === null) {
      throw new AppError("rack_id_required", { current_rack_ids: rackIds(state) });
    }
    if (registry.status().config.voters.includes(member.peer)) {
      // A voter that comes back without its log could elect a leader that lacks what it once acknowledged.
      const text = `${member.name} is a voter of this cluster; remove it first, and join it with a new data directory`;
      throw new AppError("member_exists", { peer: member.peer }, text);
    }
    if (want_uid !== undefined && state.members.get(member.peer)?.uid !== want_uid) {
      const rule =
        "this host never had that uid, and taking over another host's is not offered by this version";
      throw new AppError("config_error", { field: "node.identity.uid", rule });
    }
  }

  /** Writes the host down as a member. */
  async #admit({ member, username }: JoinHello, signature: string): Promise<JoinVerdict> {
    const { registry } = this.#deps;
    const { index, result } = await registry.submit(
      { type: "member.add", member: Value.Clean(NewMember, structuredClone(member)) as NewMember },
      { by: username, timeoutMs: COMMIT_MS_MAX },
    );
    if (!result.ok) throw AppError.of(result.refusal);
    return {
      server_signature: signature,
      uid: Number(result.value["uid"]),
      cluster_name: registry.state.cluster?.name ?? "",
      contacts: this.#contacts(member.peer),
      join_index: index,
    };
  }

  /** Whom the new member may pull the registry from: this agent, the voters, the others, as many as a frame takes. */
  #contacts(joiner: MemberId): JoinVerdict["contacts"] {
    const { registry, self } = this.#deps;
    const { voters } = registry.status().config;
    const rank = ({ peer }: Member): number => (peer === self ? 0 : voters.includes(peer) ? 1 : 2);
    const members = [...registry.state.members.values()]
      .filter(({ peer }) => peer !== joiner)
      .toSorted((a, b) => rank(a) - rank(b) || a.uid - b.uid);
    const contacts: JoinVerdict["contacts"] = [];
    let bytes = 0;
    for (const { peer, mesh_addrs } of members) {
      const one = { peer, mesh_addrs: [...mesh_addrs] };
      bytes += JSON.stringify(one).length;
      if (bytes > JOIN_FRAME_BYTES_MAX / 2 && contacts.length > 0) break;
      contacts.push(one);
    }
    return contacts;
  }
}

/** The user that was first: on all agents the same, for as long as it exists. */
function firstUser(state: Readonly<RegistryState>): User | null {
  return [...state.users.values()].toSorted((a, b) => a.uid - b.uid)[0] ?? null;
}

function rackIds(state: Readonly<RegistryState>): readonly string[] {
  const ids = [...state.members.values()].flatMap(({ rack_id }) => (rack_id === null ? [] : [rack_id]));
  return [...new Set(ids)].toSorted(byText);
}
