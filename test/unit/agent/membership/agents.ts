import { MembershipDriver } from "#agent/membership/driver.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { HostReport } from "#agent/ports/membership.ts";
import { Prng } from "#shared/lib/prng.ts";
import { epochMs } from "#shared/lib/time.ts";
import { makeFacts } from "#test/support/builders.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeMesh, type FakeTransport } from "#test/support/fake-mesh.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

export interface Agent {
  readonly id: string;
  readonly transport: FakeTransport;
  readonly driver: MembershipDriver;
  readonly log: RecordingLog;
}

/** Agents on one mesh in memory and one virtual clock. */
export class Agents {
  readonly clock = new FakeClock();
  readonly mesh = new FakeMesh({ clock: this.clock });
  readonly all = new Map<string, Agent>();
  readonly #prng = new Prng(1);
  /** By how much the wall clock of each is ahead. Milliseconds. */
  readonly skewMs = new Map<string, number>();
  /** By how much the monotonic clock of each has gone on while nothing of it ran. Milliseconds. */
  readonly lateMs = new Map<string, number>();

  /** All of them are members of each other. */
  static of(...ids: readonly string[]): Agents {
    const agents = new Agents();
    for (const id of ids) agents.start(id);
    agents.setMembers(ids);
    return agents;
  }

  start(id: string, starts = 1): Agent {
    const transport = this.mesh.join(id);
    const log = new RecordingLog();
    const deps = { transport, clock: this.#clockOf(id), log, random: () => this.#prng.next() };
    const driver = new MembershipDriver(deps, { starts });
    driver.start();
    const agent = { id, transport, driver, log };
    this.all.set(id, agent);
    return agent;
  }

  kill(id: string): void {
    this.get(id).driver.stop();
    this.mesh.leave(id);
    this.all.delete(id);
  }

  setMembers(ids: readonly string[]): void {
    for (const { driver } of this.all.values()) {
      driver.setMembers(ids.map((peer) => ({ peer, name: `name of ${peer}` })));
    }
  }

  get(id: string): Agent {
    const agent = this.all.get(id);
    if (agent === undefined) throw new Error(`no agent ${id}`);
    return agent;
  }

  /** What all agents that run believe of one. */
  liveness(of: string): string[] {
    return [...this.all.values()].map(({ driver }) => driver.view(of).liveness);
  }

  /** Whether all agents that run hold that report of a host. */
  allHold(host: string, kernel: string): boolean {
    return [...this.all.values()].every(
      ({ driver }) => driver.view(host).report?.facts.static.os.kernel === kernel,
    );
  }

  publish(id: string, kernel: string, apiUrls: readonly string[] = []): void {
    this.get(id).driver.publish(reportOf(id, kernel, apiUrls));
  }

  #clockOf(id: string): Clock {
    const { clock } = this;
    return {
      now: () => epochMs(clock.now() + (this.skewMs.get(id) ?? 0)),
      monotonicMs: () => clock.monotonicMs() + (this.lateMs.get(id) ?? 0),
      sleep: (ms, signal) => clock.sleep(ms, signal),
      every: (ms, callback) => {
        let knownMs = 0;
        return clock.every(ms, () => {
          const stoodMs = (this.lateMs.get(id) ?? 0) - knownMs;
          knownMs += stoodMs;
          callback(stoodMs);
        });
      },
    };
  }
}

/** A report that is told apart by its kernel. */
export function reportOf(peer: string, kernel: string, apiUrls: readonly string[] = []): HostReport {
  return {
    peer,
    name: `name of ${peer}`,
    apiUrls,
    meshAddrs: ["/ip4/10.0.0.1/tcp/9444"],
    facts: makeFacts({ kernel }),
  };
}
