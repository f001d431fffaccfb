import { runNow } from "./commands.ts";
import { dropping } from "./packet-filter.ts";
import { PREFIX } from "./leftovers.ts";

/**
 * Why hosts cannot be built of network namespaces here, in one sentence for the operator; null when they can. What is asked
 * for is tried out, once, since no list of versions says what a kernel was built with.
 */
export function whyNot(): string | null {
  if (process.getuid?.() !== 0) return "needs root: run it as root, or with sudo";
  for (const program of ["ip", "tc"]) {
    if (runNow(program, "-V") === "") return `needs ${program}: install iproute2`;
  }
  const name = `${PREFIX}${process.pid}-try`;
  try {
    if (runNow("sh", "-c", `ip netns add ${name} && echo made`) === "") {
      return "may not make network namespaces: needs CAP_SYS_ADMIN (a container must be privileged)";
    }
    const tried = runNow(
      "sh",
      "-ec",
      `ip -n ${name} link add bridge0 type bridge
      ip -n ${name} link add port0 type veth peer name port1
      tc -n ${name} qdisc add dev port0 clsact
      tc -n ${name} filter replace dev port0 ingress prio 1 handle 1 bpf direct-action bytecode '${dropping([], 0.5)}'
      echo works`,
    );
    return tried === "" ? "needs a kernel with bridges, veth, clsact and cls_bpf" : null;
  } finally {
    runNow("ip", "netns", "delete", name);
  }
}
