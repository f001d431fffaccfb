import { answering, IS_SELF, type Answered } from "#agent/bootstrap/answering.ts";
import type { Contact } from "#agent/bootstrap/contact.ts";
import {
  authenticate,
  rehearsed,
  verdictOf,
  type Application,
  type Proven,
} from "#agent/bootstrap/conversation.ts";
import type { BootstrapDeps } from "#agent/bootstrap/deps.ts";
import type { JoinVerdict } from "#agent/bootstrap/join-messages.ts";
import { preflight, type Preflight } from "#agent/bootstrap/preflight.ts";
import { mayTrust, proverOf, type Prover } from "#agent/bootstrap/prover.ts";
import { failureOf } from "#agent/bootstrap/refusal.ts";
import { retrying } from "#agent/bootstrap/retry.ts";
import { takeBack } from "#agent/bootstrap/take-back.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { PeerAddresses, StrangerChannel } from "#agent/ports/transport.ts";
import { mayPass } from "#shared/bootstrap/failure.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { NewMember } from "#shared/registry/command.ts";

/** Longest the joiner may take to pull the registry up to its own joining. Milliseconds. */
const CATCH_UP_MS_MAX = 60_000;
/** Longest for one agent to be reached on the mesh: its host may be gone without a word. Milliseconds. */
const REACH_MS_MAX = 8000;

type JoinDeps = BootstrapDeps & { readonly contact: Contact };

/** One address that was tried, and why it did not help. */
type Tried = { readonly address: string; readonly cause: string };

/** What the cluster granted. */
interface Granted extends Proven {
  readonly verdict: JoinVerdict;
}

/**
 * Makes this host a member of the cluster at one of the named addresses. Resolves once it holds the registry up to its own
 * joining; takes back what it did here when it fails. What the cluster has noted then blocks nobody: the same host gets the
 * same uid next time, and it stays out of elections until its bootstrap is completed (see announce.ts).
 */
export async function joinCluster(
  deps: JoinDeps,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<ClusterIdentity> {
  const { step } = deps;
  const { member, chosen } = await step("preflight", () => preflight(deps, request, signal));
  const application = applicationOf(request, member);
  const prover = proverOf(deps, request.credentials);
  const converse = async (channel: StrangerChannel): Promise<Granted> => {
    const proven = await step("authenticate", () =>
      authenticate({ prover, clock: deps.clock }, channel, application, signal),
    );
    return { ...proven, verdict: await step("admit", () => verdictOf(channel, signal)) };
  };
  return retrying(deps, request, signal, async () => {
    const granted = await seek(deps, request, prover, converse, signal);
    return step("catch_up", () => enter(deps, granted, chosen, signal));
  });
}

/** Resolves when the cluster would let this host in now; it is really asked. Rejects with why it would not. Changes nothing. */
export async function rehearseJoin(
  deps: JoinDeps,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<void> {
  const { member } = await preflight(deps, request, signal);
  const application: Application = { ...applicationOf(request, member), rehearse: true };
  const prover = proverOf(deps, request.credentials);
  const converse = async (channel: StrangerChannel): Promise<void> => {
    await authenticate({ prover, clock: deps.clock }, channel, application, signal);
    await rehearsed(channel, signal);
  };
  await seek(deps, request, prover, converse, signal);
}

function applicationOf(
  { clusterName, identity, requiredVersion }: BootstrapRequest,
  member: NewMember,
): Application {
  const { uid, overrideRackId } = identity;
  return {
    member,
    ...(uid === undefined ? {} : { want_uid: uid }),
    ...(overrideRackId === undefined ? {} : { override_rack_id: overrideRackId }),
    ...(clusterName === undefined ? {} : { cluster_name: clusterName }),
    ...(requiredVersion === undefined ? {} : { required_version: requiredVersion }),
  };
}

/** Talks to the agents at the named addresses, the first to answer first, until one gives a result or refuses for good. */
async function seek<T>(
  deps: JoinDeps,
  request: BootstrapRequest,
  prover: Prover,
  converse: (channel: StrangerChannel) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const tried: Tried[] = [];
  const found = candidates(deps, request, prover, signal);
  try {
    for (;;) {
      const { address, channel } = await deps.step("contact", () =>
        nextReached(found, deps, { prover, tried }, signal),
      );
      try {
        await using open = channel;
        return await converse(open);
      } catch (error) {
        signal.throwIfAborted();
        const failure = failureOf(error, deps.log);
        if (!mayPass(failure)) throw error;
        tried.push({ address, cause: failure.details.message });
      }
    }
  } finally {
    await found.return();
  }
}

/**
 * Everybody who may be of the cluster. A token's own peers are on the mesh and need no API; addresses that were named as well may tell
 * where else they are.
 */
async function* candidates(
  deps: JoinDeps,
  { nodes, clusterName, apiPort, credentials }: BootstrapRequest,
  { token }: Prover,
  signal: AbortSignal,
): AsyncGenerator<Answered, void, undefined> {
  for (const found of token?.peers ?? []) yield { address: found.meshAddrs[0] ?? found.peer, found };
  // Without addresses the cluster's name is to be resolved: seed 003's documentation of rack-zone awareness.
  const byName = token === null && nodes.length === 0 && clusterName !== undefined;
  const { trustedCa = "" } = credentials;
  const contact: Contact = (address, port, until) => deps.contact(address, port, until, { trustedCa });
  yield* answering(
    { contact, clock: deps.clock, self: deps.host.peer },
    byName ? [clusterName] : nodes,
    apiPort,
    signal,
  );
}

/** The next one that may be talked to and can be; notes why the others may not. Rejects with connect_error when there is none left. */
async function nextReached(
  candidates: AsyncGenerator<Answered, void, undefined>,
  deps: JoinDeps,
  { prover, tried }: { readonly prover: Prover; readonly tried: Tried[] },
  signal: AbortSignal,
): Promise<{ readonly address: string; readonly channel: StrangerChannel }> {
  for (;;) {
    const { done, value } = await candidates.next();
    if (done === true) throw new AppError("connect_error", { tried });
    const { address, found } = value;
    if (found instanceof Error) tried.push({ address, cause: found.message });
    else if (found.peer === deps.host.peer) tried.push({ address, cause: IS_SELF });
    else if (!mayTrust(prover, found.peer)) {
      tried.push({ address, cause: `the agent there (${found.peer}) is none of those that the token names` });
    } else {
      const channel = await reach(deps, found, signal);
      if (!(channel instanceof Error)) return { address, channel };
      tried.push({ address, cause: channel.message });
    }
  }
}

/** A conversation with it, or why it cannot be reached. */
async function reach(
  { transport, clock }: JoinDeps,
  target: PeerAddresses,
  signal: AbortSignal,
): Promise<StrangerChannel | Error> {
  const over = new AbortController();
  const late = clock.sleep(REACH_MS_MAX, AbortSignal.any([signal, over.signal])).then(
    () => over.abort(),
    () => undefined,
  );
  try {
    return await transport.openJoin(target, AbortSignal.any([signal, over.signal]));
  } catch (error) {
    signal.throwIfAborted();
    if (!isKind(error, "peer_unreachable")) throw error;
    const where = target.meshAddrs.length === 0 ? "no address" : target.meshAddrs.join(", ");
    return new Error(`on the mesh (${where}): ${error.message}`);
  } finally {
    over.abort();
    await late;
  }
}

/** Becomes a member that follows, and waits until the registry is here. */
async function enter(
  deps: BootstrapDeps,
  { clusterId, incarnation, verdict }: Granted,
  chosen: Preflight["chosen"],
  signal: AbortSignal,
): Promise<ClusterIdentity> {
  const contacts = verdict.contacts
    .filter(({ peer }) => peer !== deps.host.peer)
    .map(({ peer, mesh_addrs }) => ({ peer, meshAddrs: mesh_addrs }));
  const { uid, lineage } = verdict;
  const identity: ClusterIdentity = {
    clusterId,
    incarnation,
    ...(lineage === undefined ? {} : { lineage }),
    uid,
    contacts,
    ...chosen,
  };
  const { runtime } = deps;
  try {
    await runtime.follow(identity);
    await runtime.registry.waitForIndex(verdict.join_index, { timeoutMs: CATCH_UP_MS_MAX, signal });
    signal.throwIfAborted();
    const { peer } = deps.host;
    if (!runtime.registry.state.members.has(peer)) throw new AppError("member_removed", { peer });
    return identity;
  } catch (error) {
    await takeBack(deps);
    throw error;
  }
}
