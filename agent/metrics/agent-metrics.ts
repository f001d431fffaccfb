import { Counter, Gauge, Histogram, Registry as PromRegistry } from "prom-client";

import type { BackupHealth } from "#agent/ports/backup.ts";
import type { Bootstrap } from "#agent/ports/bootstrap.ts";
import type { Membership } from "#agent/ports/membership.ts";
import type { AnsweredRequest, Metrics } from "#agent/ports/metrics.ts";
import type { Registry } from "#agent/ports/registry.ts";
import type { Transport } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";

/** Upper bounds of the histogram of answers. An agent answers most reads within a millisecond, most writes within ten. */
const SECONDS_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const BOOTSTRAP_STATES = ["idle", "initiated", "running", "error", "completed"] as const;
const LIVENESS = ["alive", "suspect", "dead", "left", "unknown"] as const;

interface Deps {
  readonly registry: Pick<Registry, "state" | "status">;
  readonly membership: Pick<Membership, "view" | "isAlive" | "self">;
  readonly bootstrap: Pick<Bootstrap, "state">;
  readonly transport: Pick<Transport, "self" | "connected">;
  readonly backups: BackupHealth;
}

/**
 * Numbers in the text format of Prometheus (OpenMetrics' names: unit at the end, counters in `_total`). They are taken when somebody
 * asks; nothing is measured for nobody, but for the answered requests.
 */
export class AgentMetrics implements Metrics {
  readonly #deps: Deps;
  readonly #all = new PromRegistry();
  readonly #requests: Counter<"dialect" | "method" | "status">;
  readonly #seconds: Histogram<"dialect">;

  constructor(deps: Deps, options: { readonly version: string }) {
    this.#deps = deps;
    this.#requests = new Counter({
      name: "muster_http_requests_total",
      help: "Answered requests of the REST API.",
      labelNames: ["dialect", "method", "status"],
      registers: [this.#all],
    });
    this.#seconds = new Histogram({
      name: "muster_http_request_duration_seconds",
      help: "Time from a request's first byte to the end of its answer.",
      labelNames: ["dialect"],
      buckets: SECONDS_BUCKETS,
      registers: [this.#all],
    });
    const build = new Gauge({
      name: "muster_build_info",
      help: "Always 1; the version is in the label.",
      labelNames: ["version"],
      registers: [this.#all],
    });
    build.set({ version: options.version }, 1);
    this.#process();
    this.#bootstrap();
    this.#registry();
    this.#backups();
    this.#members();
    this.#peers();
  }

  get contentType(): string {
    return this.#all.contentType;
  }

  render(): Promise<string> {
    return this.#all.metrics();
  }

  answered({ dialect, method, status, seconds }: AnsweredRequest): void {
    this.#requests.inc({ dialect, method, status: String(status) });
    this.#seconds.observe({ dialect }, seconds);
  }

  #gauge(name: string, help: string, value: () => number | null): void {
    this.#all.registerMetric(
      new Gauge({
        name,
        help,
        registers: [],
        collect() {
          const now = value();
          // What is not known is left out rather than told as 0.
          if (now === null) this.remove();
          else this.set(now);
        },
      }),
    );
  }

  #process(): void {
    this.#gauge("process_resident_memory_bytes", "Resident memory of the agent.", () =>
      process.memoryUsage.rss(),
    );
    const startedAt = Date.now() / 1000 - process.uptime();
    this.#gauge("process_start_time_seconds", "When the agent started, since the epoch.", () => startedAt);
    this.#all.registerMetric(
      new Counter({
        name: "process_cpu_seconds_total",
        help: "CPU time of the agent, user and system.",
        registers: [],
        collect() {
          const { user, system } = process.cpuUsage();
          this.reset();
          this.inc((user + system) / 1e6);
        },
      }),
    );
    const { membership } = this.#deps;
    this.#gauge(
      "muster_event_loop_delay_seconds",
      "The latest that any timer of the membership protocol came within the last 10 to 20 s.",
      () => membership.self().loopDelayMs / 1000,
    );
    this.#gauge(
      "muster_local_health_score",
      "0 (well) to 8: by so many times this agent's own timeouts are stretched (Lifeguard).",
      () => membership.self().score,
    );
  }

  #bootstrap(): void {
    const { bootstrap } = this.#deps;
    this.#all.registerMetric(
      new Gauge({
        name: "muster_bootstrap_state",
        help: "1 for the state that this host's bootstrap is in.",
        labelNames: ["state"],
        registers: [],
        collect() {
          for (const state of BOOTSTRAP_STATES) this.set({ state }, bootstrap.state.name === state ? 1 : 0);
        },
      }),
    );
  }

  #registry(): void {
    const { registry, transport } = this.#deps;
    const status = (): ReturnType<Registry["status"]> => registry.status();
    const gauge = (name: string, help: string, value: () => number | null): void =>
      this.#gauge(`muster_registry_${name}`, help, value);
    gauge("leader", "1 on the agent that leads.", () => (status().role === "leader" ? 1 : 0));
    gauge("voter", "1 on an agent that votes.", () =>
      status().config.voters.includes(transport.self) ? 1 : 0,
    );
    gauge("voters", "Agents that vote.", () => status().config.voters.length);
    gauge("term", "Term of consensus, as this agent knows it.", () => status().term);
    gauge("applied_index", "Index of the last log entry applied here.", () => status().applied);
    gauge("commit_index", "Index of the last log entry known here as committed.", () => status().commit);
    gauge("age_seconds", "Age of what is served here; absent while it is not known.", () => {
      const { ageMs } = status();
      return ageMs === null ? null : ageMs / 1000;
    });
    gauge("writable", "1 while writes can succeed, as far as this agent knows.", () => {
      const { quorum, diskFull } = status();
      return quorum && diskFull === undefined ? 1 : 0;
    });
    gauge("disk_full", "1 while this agent can or will write no more for want of room.", () =>
      status().diskFull === undefined ? 0 : 1,
    );
    gauge("halted", "1 once nothing is applied here any more; the log and the status say why.", () =>
      status().halted === null ? 0 : 1,
    );
    gauge("quarantined", "1 while what is held here is not what the others hold.", () =>
      status().quarantined ? 1 : 0,
    );
    gauge("zones", "Zones.", () => registry.state.zones.size);
    gauge("nodes", "Registered nodes.", () => registry.state.nodes.size);
  }

  #backups(): void {
    const { backups } = this.#deps;
    this.#gauge(
      "muster_backup_last_success_timestamp_seconds",
      "When this agent's newest good backup was taken, since the epoch; absent while there is none.",
      () => (backups.lastSuccessAt === null ? null : backups.lastSuccessAt / 1000),
    );
    this.#all.registerMetric(
      new Counter({
        name: "muster_backup_failures_total",
        help: "Backups that could not be written since the agent started.",
        registers: [],
        collect() {
          this.reset();
          this.inc(backups.failures);
        },
      }),
    );
  }

  #members(): void {
    const { registry, membership, transport } = this.#deps;
    this.#all.registerMetric(
      new Gauge({
        name: "muster_members",
        help: "Members of the cluster by liveness, as seen from here.",
        labelNames: ["liveness"],
        registers: [],
        collect() {
          const counts = new Map<string, number>(LIVENESS.map((liveness) => [liveness, 0]));
          for (const peer of registry.state.members.keys()) {
            const { liveness } = membership.view(peer);
            counts.set(liveness, (counts.get(liveness) ?? 0) + 1);
          }
          for (const [liveness, count] of counts) this.set({ liveness }, count);
        },
      }),
    );
    this.#gauge("muster_members_failed", "Members that the cluster counts as failed.", () => {
      let failed = 0;
      for (const { failedAt } of registry.state.members.values()) if (failedAt !== null) failed += 1;
      return failed;
    });
    this.#gauge(
      "muster_mesh_connections",
      "Members connected with this agent.",
      () => transport.connected().length,
    );
  }

  /** Of each other member, under its host's name. */
  #peers(): void {
    const each = (name: string, help: string, value: (peer: MemberId) => number | null): void => {
      const { registry, transport } = this.#deps;
      this.#all.registerMetric(
        new Gauge({
          name: `muster_peer_${name}`,
          help,
          labelNames: ["host"],
          registers: [],
          collect() {
            this.reset();
            for (const { peer, name: host } of membersByUid(registry.state)) {
              const now = peer === transport.self ? null : value(peer);
              if (now !== null) this.set({ host }, now);
            }
          },
        }),
      );
    };
    const { membership } = this.#deps;
    const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000);
    each("alive", "1 while the member is not known to be dead.", (peer) =>
      membership.isAlive(peer) ? 1 : 0,
    );
    each("rtt_seconds", "Round trip to the member.", (peer) => seconds(membership.view(peer).rttMs));
    each("clock_offset_seconds", "The member's clock less this agent's.", (peer) =>
      seconds(membership.view(peer).clockOffsetMs),
    );
    each("clock_alarm", "1 while the member's clock is too far off.", (peer) =>
      membership.view(peer).clockAlarm ? 1 : 0,
    );
  }
}
