import { epochMs } from "#shared/lib/time.ts";
import type { HostFacts, LiveFacts, StaticFacts } from "#shared/model/hardware.ts";

/** Facts of a plain host, of which a test names those that matter to it. */
export function makeFacts(
  of: {
    readonly static?: Partial<StaticFacts>;
    readonly live?: Partial<LiveFacts>;
    readonly kernel?: string;
  } = {},
): HostFacts {
  return {
    static: {
      cpu: {
        cores: 2,
        logical_cores: 2,
        physical_cores: null,
        sockets: null,
        numa_nodes: null,
        model: null,
        architecture: "x64",
      },
      memory_total: 1e9,
      os: {
        version: "Debian GNU/Linux 12 (bookworm)",
        family: null,
        name: null,
        semantic_version: null,
        kernel: of.kernel ?? "6.1",
        hostname: "host",
        virtualization: null,
      },
      addresses: [],
      bridge_interfaces: [],
      software_version: "0.1.0",
      ...of.static,
    },
    live: {
      memory_free: 1e8,
      load: [0, 0, 0],
      uptime_s: 1,
      storage: [],
      clock: { synchronized: true, source: null },
      ...of.live,
    },
    stale: [],
    collected_at_ms: epochMs(0),
  };
}
