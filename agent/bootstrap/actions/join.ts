import { answering } from "#agent/bootstrap/answering.ts";
import type { Contact } from "#agent/bootstrap/contact.ts";
import { apply, type Application, type Granted } from "#agent/bootstrap/conversation.ts";
import type { BootstrapDeps } from "#agent/bootstrap/deps.ts";
import { preflight, type Preflight } from "#agent/bootstrap/preflight.ts";
import { AttemptFailed, failureOf } from "#agent/bootstrap/refusal.ts";
import { takeBack } from "#agent/bootstrap/take-back.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import { mayPass, toFailure } from "#shared/bootstrap/failure.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import { AppError } from "#shared/errors/app-error.ts";

/** Longest the joiner may take to pull the registry up to its own joining. Milliseconds. */
const CATCH_UP_MS_MAX = 60_000;
/** Wait before the second try; doubles, up to the caller's `retry_time`. Milliseconds. */
const FIRST_WAIT_MS = 1000;

/** One address that was tried, and why it did not help. */
type Tried = { readonly address: string; readonly cause: string };

/**
 * Makes this host a member of the cluster at one of the named addresses. Resolves once it holds the registry up to its own
 * joining; takes back what it did here when it fails. What the cluster has noted then blocks nobody: the same host gets the
 * same uid next time, and it stays out of elections until its bootstrap is completed (see announce.ts).
 */
export async function joinCluster(
  deps: BootstrapDeps & { readonly contact: Contact },
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<ClusterIdentity> {
  const { member, chosen } = await preflight(deps, request, signal);
  const { credentials, identity } = request;
  const application: Application = { member, credentials, wantUid: identity.uid };
  for (let tries = 0; ; tries += 1) {
    try {
      const granted = await seek(deps, request, application, signal);
      return await enter(deps, granted, chosen, signal);
    } catch (error) {
      signal.throwIfAborted();
      const failure = failureOf(error, deps.log);
      if (!mayPass(failure) || tries >= request.maxRetries) throw new AttemptFailed(failure);
      deps.log.warn(
        { code: failure.code, details: failure.details, tries: tries + 1 },
        "join failed; trying again",
      );
    }
    await deps.clock.sleep(Math.min(request.retryTimeS * 1000, FIRST_WAIT_MS * 2 ** tries), signal);
  }
}

/** Asks the named addresses, the first to answer first, until one lets this host in or refuses for good. */
async function seek(
  deps: BootstrapDeps & { readonly contact: Contact },
  { nodes, clusterName, apiPort }: BootstrapRequest,
  application: Application,
  signal: AbortSignal,
): Promise<Granted> {
  // Without addresses the cluster's name is to be resolved: seed 003's documentation of rack-zone awareness.
  const addresses = nodes.length === 0 && clusterName !== undefined ? [clusterName] : nodes;
  const tried: Tried[] = [];
  for await (const { address, found } of answering(deps, addresses, apiPort, signal)) {
    if (found instanceof Error) {
      tried.push({ address, cause: found.message });
    } else if (found.peer === deps.host.peer) {
      tried.push({ address, cause: "that is this host itself" });
    } else {
      try {
        await using channel = await deps.transport.openJoin(found, signal);
        return await apply(deps, channel, application, signal);
      } catch (error) {
        signal.throwIfAborted();
        const failure = failureOf(error, deps.log);
        if (!mayPass(failure)) throw error;
        tried.push({ address, cause: failure.details.message });
      }
    }
  }
  throw new AttemptFailed(toFailure(new AppError("connect_error", { tried })));
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
  const identity: ClusterIdentity = { clusterId, incarnation, uid: verdict.uid, contacts, ...chosen };
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
