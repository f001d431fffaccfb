import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { Rule } from "#shared/bootstrap/rule.ts";
import { DNS_SUFFIXES_MAX } from "#shared/lib/limits.ts";

/** RFC 952 and RFC 1123, section 2.1, as seed 003's documentation asks of a cluster's name; one label is enough. */
const DNS_NAME = /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?$/;
const DNS_NAME_CHARS_MAX = 253;
const CLUSTER_NAME_CHARS_MAX = 64;
const SLAVES_MAX = 16;
const SLAVE_CHARS_MAX = 256;

/** Whether the text can be a host's name. */
export function isDnsName(name: string): boolean {
  return name.length <= DNS_NAME_CHARS_MAX && DNS_NAME.test(name);
}

/** What a request says of the cluster as a whole: its name, and the DNS zones under which it is found. */
export function rulesOfCluster({ clusterName, dnsSuffixes }: BootstrapRequest): Rule[] {
  const names = dnsSuffixes.map(({ name }) => name.toLowerCase());
  const slaves = dnsSuffixes.flatMap((suffix) => suffix.slaves ?? []);
  const defaults = dnsSuffixes.filter((suffix) => suffix.cluster_default === true);
  return [
    [
      clusterName !== undefined && !(clusterName.length <= CLUSTER_NAME_CHARS_MAX && isDnsName(clusterName)),
      "cluster.name",
      `must be a DNS name of at most ${CLUSTER_NAME_CHARS_MAX} characters`,
    ],
    [dnsSuffixes.length > DNS_SUFFIXES_MAX, "dns_suffixes", `may be at most ${DNS_SUFFIXES_MAX}`],
    [!names.every(isDnsName), "dns_suffixes.name", "must be a DNS name"],
    [new Set(names).size < names.length, "dns_suffixes.name", "must be given once"],
    [defaults.length > 1, "dns_suffixes.cluster_default", "may be true for one suffix only"],
    [
      dnsSuffixes.some((suffix) => (suffix.slaves?.length ?? 0) > SLAVES_MAX),
      "dns_suffixes.slaves",
      `may be at most ${SLAVES_MAX}`,
    ],
    [
      slaves.some((slave) => slave === "" || slave.length > SLAVE_CHARS_MAX),
      "dns_suffixes.slaves",
      `must be addresses of at most ${SLAVE_CHARS_MAX} characters`,
    ],
  ];
}
