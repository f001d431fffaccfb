import { randomUUID } from "node:crypto";

import type { BootstrapDeps } from "#agent/bootstrap/deps.ts";
import { takeBack } from "#agent/bootstrap/take-back.ts";
import { preflight } from "#agent/bootstrap/preflight.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { CommandOf } from "#shared/registry/command.ts";
import { POLICY_DEFAULT } from "#shared/registry/state.ts";
import { AppError } from "#shared/errors/app-error.ts";

/** Longest the first command may take; the only voter is this agent. Milliseconds. */
const COMMIT_MS_MAX = 15_000;

/**
 * Makes a new cluster with this host as its first member and the caller as its administrator. Resolves once that is
 * committed; takes back what it did when it fails.
 */
export async function createCluster(
  deps: BootstrapDeps,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<ClusterIdentity> {
  const { runtime, passwords, step, newClusterId = randomUUID } = deps;
  const { clusterName, credentials, rackAware, policy, license, dnsSuffixes } = request;
  const { username, password } = credentials;
  if (clusterName === undefined)
    throw new AppError("config_error", { field: "cluster.name", rule: "is required" });
  const { member, chosen } = await step("preflight", () => preflight(deps, request, signal));
  const verifier = await step("hash", () => passwords.derive(password));
  signal.throwIfAborted();

  const identity: ClusterIdentity = {
    clusterId: newClusterId(),
    incarnation: 1,
    uid: 1,
    contacts: [],
    ...chosen,
  };
  const command: CommandOf<"cluster.create"> = {
    type: "cluster.create",
    cluster_id: identity.clusterId,
    name: clusterName,
    member,
    admin: { name: username, verifier },
    rack_aware: rackAware,
    policy: { ...POLICY_DEFAULT, ...policy },
    dns_suffixes: [...dnsSuffixes],
    ...(license === undefined ? {} : { license }),
  };
  try {
    await step("found", () => runtime.found(identity));
    signal.throwIfAborted();
    await step("commit", async () => {
      const { result } = await runtime.registry.submit(command, {
        by: username,
        timeoutMs: COMMIT_MS_MAX,
        signal,
      });
      if (!result.ok) throw AppError.of(result.refusal);
    });
    return identity;
  } catch (error) {
    await takeBack(deps);
    throw error;
  }
}
