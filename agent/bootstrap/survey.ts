import type { Contact } from "./contact.ts";
import type { BootstrapDeps } from "./deps.ts";
import { readRecoveryFile } from "./recovery-file.ts";
import { fetchCopy } from "./survey-fetch.ts";
import { askAround, QUIET_MS, timed, unseenAt, type Heard, type Target } from "./survey-round.ts";
import type { Credentials } from "#agent/ports/credentials.ts";
import type { HeldCopy } from "#agent/ports/registry.ts";
import { StoreDamaged, type ClusterIdentity } from "#agent/ports/store.ts";
import type { PeerAddresses } from "#agent/ports/transport.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import {
  chooseCopy,
  type Choice,
  type CopyInfo,
  type Survey,
  type Unseen,
  type Witness,
} from "#shared/bootstrap/recovery.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { epochMs } from "#shared/lib/time.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** Longest to fetch one copy. Milliseconds. */
const FETCH_MS_MAX = 60_000;

/** What a survey needs of a bootstrap. */
export type SurveyDeps = Pick<
  BootstrapDeps,
  "runtime" | "identity" | "transport" | "scram" | "backups" | "packing" | "clock" | "log" | "host"
> & { readonly contact: Contact };

/** What a recovery starts from. */
export interface Found {
  readonly choice: Choice;
  /** Of the chosen copy. */
  readonly state: RegistryState;
  /** What this host held itself; null when it is no member, or cannot read it. */
  readonly own: HeldCopy | null;
  /** Who answered, whether it showed its copy or not, and where. */
  readonly answered: ReadonlyMap<MemberId, string>;
  readonly unseen: readonly Unseen[];
}

/**
 * Finds out what is left of a cluster: this host's own copy, the file that was named, and what the agents at the named addresses
 * and all members that any used copy knows of hold. Changes nothing. Rejects as chooseCopy throws, and as Backups.read does.
 */
export function survey(deps: SurveyDeps, request: BootstrapRequest, signal: AbortSignal): Promise<Found> {
  return new Surveyor(deps, request, signal).run();
}

class Surveyor {
  readonly #deps: SurveyDeps;
  readonly #request: BootstrapRequest;
  readonly #signal: AbortSignal;
  readonly #credentials: Credentials | null;
  /** Where each copy's state is, or is to be had. */
  readonly #copies = new Map<CopyInfo, RegistryState | PeerAddresses>();
  readonly #witnesses: Witness[] = [];
  readonly #answered = new Map<MemberId, Heard>();
  readonly #unseen: Unseen[] = [];
  readonly #asked: Set<MemberId>;
  #own: Survey["own"] = null;
  #lookedAgain = false;
  /** The only cluster of interest, once it is known. */
  #clusterId: string | null = null;

  constructor(deps: SurveyDeps, request: BootstrapRequest, signal: AbortSignal) {
    this.#deps = deps;
    this.#request = request;
    this.#signal = signal;
    const { username, password } = request.credentials;
    this.#credentials = username === "" ? null : { username, password };
    this.#asked = new Set([deps.host.peer]);
  }

  async run(): Promise<Found> {
    const own = await this.#readOwn();
    await this.#readFile();
    const states = [...this.#copies.values()].filter((held) => "members" in held);
    await this.#ask([...this.#named(), ...states.flatMap(membersOf)]);
    for (;;) {
      this.#signal.throwIfAborted();
      const choice = this.#choose();
      const state = await this.#obtain(choice.chosen);
      if (state === null) continue; // That copy is no candidate any more.
      const more = membersOf(state).filter(({ peer }) => !this.#asked.has(peer));
      if (more.length === 0 && this.#mayElect(state)) {
        await this.#lookAgain();
      } else if (more.length === 0) {
        const answered = new Map([...this.#answered].map(([peer, { where }]) => [peer, where]));
        return { choice, state, own, answered, unseen: this.#unseen };
      } else {
        await this.#ask(more);
      }
    }
  }

  #choose(): Choice {
    const { nodes, clusterName } = this.#request;
    const seen = { own: this.#own, witnesses: this.#witnesses, unseen: this.#unseen };
    const named = clusterName === undefined ? {} : { clusterName };
    return chooseCopy({ ...seen, copies: [...this.#copies.keys()] }, { nodes, ...named });
  }

  /** This host's own copy; one that cannot be used is noted. */
  async #readOwn(): Promise<HeldCopy | null> {
    const { identity, host, log } = this.#deps;
    const cluster = await identity.cluster();
    if (cluster === null) return null;
    const { clusterId, incarnation } = cluster;
    this.#clusterId = clusterId;
    this.#own = { clusterId, incarnation, leader: await this.#hasLeader() };
    try {
      const copy = await this.#deps.runtime.copy();
      if (copy?.state.cluster) {
        this.#copies.set(this.#ownInfo(cluster, copy.state.cluster.name, copy.state), copy.state);
        return copy;
      }
      const cause = "this host had not received the registry yet";
      this.#unseen.push({ address: host.name, cause, denied: false });
    } catch (error) {
      if (!(error instanceof StoreDamaged)) throw error;
      log.warn({ err: error }, "the own copy of the registry cannot be recovered from");
      this.#unseen.push(unseenAt(host.name, error));
    }
    return null;
  }

  #ownInfo(
    { clusterId, incarnation, lineage }: ClusterIdentity,
    clusterName: string,
    { term, index, at }: RegistryState,
  ): CopyInfo {
    const { host, runtime } = this.#deps;
    const history = lineage === undefined ? {} : { lineage };
    const { ageMs } = runtime.registry.status();
    const from = { source: "store", where: host.name, peer: host.peer } as const;
    return { ...from, clusterId, clusterName, incarnation, ...history, term, index, at, ageMs };
  }

  /** Whether this host knows a leader, or finds one within the time of an election. */
  async #hasLeader(): Promise<boolean> {
    const { runtime, clock } = this.#deps;
    const { leader, ageMs } = runtime.registry.status();
    if (leader === null && ageMs !== null && ageMs < QUIET_MS) {
      await clock.sleep(QUIET_MS - ageMs, this.#signal);
    }
    return runtime.registry.status().leader !== null;
  }

  async #readFile(): Promise<void> {
    const { recoveryFilename } = this.#request;
    if (recoveryFilename === undefined) return;
    const { info, state } = await readRecoveryFile(this.#deps.backups, recoveryFilename, this.#request);
    this.#clusterId ??= info.clusterId;
    this.#copies.set(info, state);
  }

  #named(): Target[] {
    const { contact } = this.#deps;
    const { nodes, apiPort } = this.#request;
    return nodes.map((where) => ({
      where,
      peer: null,
      find: (signal) => contact(where, apiPort, signal),
    }));
  }

  async #ask(targets: readonly Target[]): Promise<void> {
    const deps = { ...this.#deps, self: this.#deps.host.peer };
    const options = { credentials: this.#credentials, clusterId: this.#clusterId, asked: this.#asked };
    // Each is tried once, whether it is found or not.
    const round = await askAround(deps, targets, options, this.#signal);
    for (const { peer } of targets) if (peer !== null) this.#asked.add(peer);
    for (const heard of round.heard) this.#note(heard);
    this.#unseen.push(...round.unseen);
  }

  /**
   * Whether the majority that answers may only just have started, all of it, as after a power cut: then it elects somebody within
   * moments, and nothing is lost.
   */
  #mayElect({ members }: Readonly<RegistryState>): boolean {
    if (this.#lookedAgain || this.#answered.size === 0) return false;
    const present = [...this.#answered.values()].filter(({ holder }) => members.has(holder.peer));
    const ages = present.map(({ reply }) => reply.age_ms);
    if (this.#own !== null) ages.push(this.#deps.runtime.registry.status().ageMs);
    return ages.includes(null) && 2 * ages.length > members.size;
  }

  /** After the time of an election: has anybody a leader now? */
  async #lookAgain(): Promise<void> {
    const { clock, host, runtime } = this.#deps;
    this.#lookedAgain = true;
    await clock.sleep(QUIET_MS, this.#signal);
    if (this.#own !== null) this.#own = { ...this.#own, leader: runtime.registry.status().leader !== null };
    const targets = [...this.#answered.values()].map(({ where, holder }) => ({
      where,
      peer: holder.peer,
      find: () => Promise.resolve(holder),
    }));
    const options = { credentials: null, clusterId: this.#clusterId, asked: new Set([host.peer]) };
    const { heard } = await askAround({ ...this.#deps, self: host.peer }, targets, options, this.#signal);
    for (const one of heard) this.#witness(one);
  }

  #note(heard: Heard): void {
    const { where, holder, reply, head } = heard;
    this.#witness(heard);
    this.#answered.set(holder.peer, heard);
    const { cluster_id: clusterId, incarnation, lineage, age_ms: ageMs } = reply;
    if (head === null) return;
    const { cluster_name: clusterName, term, index, at_ms } = head;
    const history = lineage === undefined ? {} : { lineage };
    const from = { source: "agent", where, peer: holder.peer } as const;
    const at = epochMs(at_ms);
    const info = { ...from, clusterId, clusterName, incarnation, ...history, term, index, at, ageMs };
    this.#copies.set(info, holder);
  }

  #witness({ where, reply }: Heard): void {
    const { cluster_id: clusterId, incarnation, leader, recovering } = reply;
    this.#witnesses.push({ where, clusterId, incarnation, leader, recovering });
  }

  /** The state of this copy; null when its holder does not deliver, which is noted. */
  async #obtain(info: CopyInfo): Promise<RegistryState | null> {
    const held = this.#copies.get(info);
    if (held === undefined || "members" in held) return held ?? null;
    const { host, scram, transport, packing, clock, log } = this.#deps;
    const deps = { self: host.peer, scram, transport, packing };
    const wanted = { info, credentials: this.#credentials ?? { username: "", password: "" } };
    try {
      const state = await timed(clock, FETCH_MS_MAX, this.#signal, (inTime) =>
        fetchCopy(deps, held, wanted, inTime),
      );
      this.#copies.set(info, state);
      return state;
    } catch (error) {
      this.#signal.throwIfAborted();
      log.warn({ where: info.where, err: error }, "a copy of the registry could not be fetched");
      this.#copies.delete(info);
      this.#unseen.push(unseenAt(info.where, error));
      return null;
    }
  }
}

/** Everybody whom this copy knows, to be asked under the addresses that it has of them. */
function membersOf(state: Readonly<RegistryState>): (Target & { readonly peer: MemberId })[] {
  return membersByUid(state).map(({ peer, name, addr, mesh_addrs }) => ({
    where: `${name} (${addr})`,
    peer,
    find: () => Promise.resolve({ peer, meshAddrs: mesh_addrs }),
  }));
}
