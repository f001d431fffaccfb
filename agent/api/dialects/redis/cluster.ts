import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type, type Static } from "typebox";

import type { Queries } from "#agent/api/ports.ts";
import { writeContext } from "#agent/api/wire.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { CERTIFICATE_CHARS_MAX, DNS_SUFFIXES_MAX } from "#shared/lib/limits.ts";
import { isoSeconds } from "#shared/lib/time.ts";
import type { CommandOf } from "#shared/registry/command.ts";
import { configureCluster } from "#shared/registry/reducers/cluster.ts";
import type { ClusterInfo } from "#shared/registry/state.ts";

import type { RedisDeps } from "./deps.ts";
import { NotAcceptable } from "./errors.ts";
import { READ_CLUSTER, WRITE } from "./gates.ts";
import { DnsSuffixBody } from "./schemas.ts";
import { given, toDnsSuffix } from "./translate.ts";

export const ClusterView = Type.Object({
  name: Type.String(),
  created_time: Type.String(),
  rack_aware: Type.Boolean(),
  /** Where this agent answers; left out where it does not. */
  cnm_https_port: Type.Optional(Type.Integer()),
  cnm_http_port: Type.Optional(Type.Integer()),
  mtls_trusted_ca: Type.String(),
  dns_suffixes: Type.Array(DnsSuffixBody),
  password_min_length: Type.Integer(),
  email_alerts: Type.Boolean(),
  /** Ours: 1 at first, one more with each recovery; and when the last one was. */
  incarnation: Type.Integer(),
  recovered_time: Type.Optional(Type.String()),
});

/** What an administrator may change; other fields of a cluster object may stand beside and are ignored. */
const ClusterBody = Type.Partial(
  Type.Object({
    name: Type.String(),
    rack_aware: Type.Boolean(),
    mtls_trusted_ca: Type.String({ maxLength: CERTIFICATE_CHARS_MAX }),
    dns_suffixes: Type.Array(DnsSuffixBody, { maxItems: DNS_SUFFIXES_MAX }),
  }),
);

const Mode = Type.Object({ dry_run: Type.Optional(Type.Enum(["", "true", "1", "false", "0"])) });

export const clusterRoutes: FastifyPluginAsyncTypebox<RedisDeps> = async (app, { commands, queries }) => {
  const read = { schema: { response: { 200: ClusterView } }, config: READ_CLUSTER };
  app.get("/v1/cluster", read, async () => toCluster(queries, clusterOf(queries)));

  const schema = { body: ClusterBody, querystring: Mode, response: { 200: ClusterView } };
  app.put("/v1/cluster", { schema, config: WRITE }, async (request) => {
    const command = toCommand(clusterOf(queries), request.body);
    const context = writeContext(request);
    const { dry_run = "false" } = request.query;
    if (dry_run !== "false" && dry_run !== "0") return toCluster(queries, tried(queries, command));
    await commands.submit(command, context);
    return toCluster(queries, clusterOf(queries));
  });
};

/** Throws not_in_cluster while this agent does not know its cluster (yet). */
export function clusterOf({ registry: { cluster } }: Queries): ClusterInfo {
  if (cluster === null) throw new AppError("not_in_cluster", {});
  return cluster;
}

/** Throws NotAcceptable: a cluster keeps its name, and an authority is told by its certificate. */
function toCommand(
  cluster: ClusterInfo,
  { name, rack_aware, mtls_trusted_ca, dns_suffixes }: Static<typeof ClusterBody>,
): CommandOf<"cluster.configure"> {
  if (name !== undefined && name !== cluster.name) {
    throw new NotAcceptable("cluster_name_fixed", {
      field: "name",
      rule: `is ${cluster.name} for good; names of other agents' certificates and tokens are made of it`,
    });
  }
  if (mtls_trusted_ca !== undefined && mtls_trusted_ca !== "" && !isCertificates(mtls_trusted_ca)) {
    throw new NotAcceptable("invalid_certificate", {
      field: "mtls_trusted_ca",
      rule: "must be one or more certificates in PEM, or empty to trust none",
    });
  }
  return {
    type: "cluster.configure",
    ...(rack_aware === undefined ? {} : { rack_aware }),
    ...(mtls_trusted_ca === undefined ? {} : { trusted_ca: mtls_trusted_ca }),
    ...(dns_suffixes === undefined ? {} : { dns_suffixes: dns_suffixes.map(toDnsSuffix) }),
  };
}

const PEM = /^\s*(-----BEGIN CERTIFICATE-----\s+(?:[A-Za-z0-9+/=]+\s+)+-----END CERTIFICATE-----\s*)+$/;

/** RFC 7468, section 5, with nothing beside. */
function isCertificates(text: string): boolean {
  return PEM.test(text);
}

/** What the cluster would be after the command, which is not given: `?dry_run`. Throws the reducer's refusal. */
function tried(queries: Queries, command: CommandOf<"cluster.configure">): ClusterInfo {
  // The reducer puts another record in the place of this one; the copy's is what it then has.
  const trial = { ...queries.registry };
  const { index, at } = trial;
  const outcome = configureCluster(trial, command, { index, at });
  if (!outcome.ok) throw AppError.of(outcome.refusal);
  return trial.cluster ?? clusterOf(queries);
}

function toCluster({ agent }: Queries, cluster: ClusterInfo): Static<typeof ClusterView> {
  const port = (scheme: "http" | "https") =>
    portOf(agent.apiUrls.find((url) => url.startsWith(`${scheme}://`)));
  return {
    name: cluster.name,
    created_time: isoSeconds(cluster.createdAt),
    rack_aware: cluster.rackAware,
    ...given({ cnm_https_port: port("https"), cnm_http_port: port("http") }),
    mtls_trusted_ca: cluster.trustedCa,
    dns_suffixes: [...cluster.dnsSuffixes],
    password_min_length: 1,
    email_alerts: false,
    incarnation: cluster.incarnation,
    ...(cluster.recoveredAt === null ? {} : { recovered_time: isoSeconds(cluster.recoveredAt) }),
  };
}

/** The port at the end of a URL without a path. */
function portOf(url: string | undefined): number | undefined {
  const digits = /:(\d+)$/.exec(url ?? "")?.[1];
  return digits === undefined ? undefined : Number(digits);
}
