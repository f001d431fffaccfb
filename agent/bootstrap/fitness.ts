import type { JoinHello } from "./join-messages.ts";
import type { VoterConfig } from "#shared/consensus/messages.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { isOlder } from "#shared/bootstrap/version.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** The cluster as this agent sees it. */
export interface Sight {
  readonly state: Readonly<RegistryState>;
  readonly config: VoterConfig;
  readonly isAlive: (peer: MemberId) => boolean;
}

/**
 * What the joiner expects of the cluster, and what its return would break. All that is a rule of the registry itself is judged by
 * admission.ts. Throws config_error or node_config_mismatch.
 */
export function refuseMisfit(
  { state, config, isAlive }: Sight,
  { member, cluster_name, required_version, want_uid }: JoinHello,
): void {
  const name = state.cluster?.name ?? "";
  if (cluster_name !== undefined && plain(cluster_name) !== plain(name)) {
    throw new AppError("config_error", {
      field: "cluster.name",
      rule: `the cluster there is called ${name}`,
    });
  }
  if (required_version !== undefined) refuseOld(state, required_version);
  const { voters, outgoing, learners } = config;
  if ([...voters, ...outgoing, ...learners].includes(member.peer)) refuseVoter(state, member.peer);
  const place = membersByUid(state).find(({ uid, peer }) => uid === want_uid && peer !== member.peer);
  // The same host under another key, as after a recovery without it: its former life may have been heard a moment ago.
  const ownPlace = place?.uuid === member.uuid;
  if (place !== undefined && !ownPlace && place.failedAt !== null && isAlive(place.peer)) {
    const rule = `the node ${place.uid} (${place.name}) answers again; its mark as failed goes in a moment`;
    throw new AppError("config_error", { field: "node.identity.uid", rule });
  }
}

/** DNS names: case and a final dot mean nothing. */
function plain(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

function refuseOld(state: Readonly<RegistryState>, required: string): void {
  const old = membersByUid(state).find(({ software_version }) => isOlder(software_version, required));
  if (old === undefined) return;
  const { name, software_version: actual } = old;
  const facts = { setting: "required_version", expected: required, actual };
  const text = `required_version is ${required}, and ${name} of the cluster runs ${actual}; upgrade the cluster first, or ask for less`;
  throw new AppError("node_config_mismatch", facts, text);
}

/**
 * A voter that comes back without its log could elect a leader that lacks what it once acknowledged. So could one that was about to
 * become a voter: its leader goes by what it had.
 */
function refuseVoter(state: Readonly<RegistryState>, peer: MemberId): void {
  const known = state.members.get(peer);
  const uid = known?.uid ?? 0;
  const first = "start the agent with a new data directory, which gives it a new key";
  const way =
    known !== undefined && known.failedAt !== null
      ? `${first}, and join with node.identity.uid ${uid}`
      : `${first}, and join with node.identity.uid ${uid} once the cluster counts this one as failed (or remove it, and join without)`;
  const rule = `this key is that of the voter ${known?.name ?? peer} (node ${uid}), whose log is not here any more; ${way}`;
  throw new AppError("config_error", { field: "node.identity.uid", rule });
}
