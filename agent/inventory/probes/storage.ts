import { dirname } from "node:path";

import type { Machine, Space } from "#agent/inventory/machine.ts";
import { isRotational, mountOf, parseMountInfo, type Mount } from "#agent/inventory/mounts.ts";
import { Probe } from "#agent/inventory/probe.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { StoragePaths } from "#agent/ports/inventory.ts";
import type { Log } from "#agent/ports/log.ts";
import type { StoragePath } from "#shared/model/hardware.ts";

/**
 * Mounts that may hang before no further one is touched: each holds one of the pool's four threads for good, and the
 * log needs some of them.
 */
const HUNG_MOUNTS_MAX = 2;

type Measured = Pick<StoragePath, "size" | "free" | "filesystem" | "device" | "mount_point" | "rotational">;

const NOTHING: Measured = {
  size: null,
  free: null,
  filesystem: null,
  device: null,
  mount_point: null,
  rotational: null,
};

/** Size and place of the storage folders. One probe per mount, so that a dead one neither delays nor hides the others. */
export class StorageProbe {
  readonly #deps: { readonly clock: Clock; readonly log: Log; readonly machine: Machine };
  readonly #byMount = new Map<string, Probe<ReadonlyMap<string, Measured>>>();
  #paths: StoragePaths;
  #mounts: readonly Mount[] = [];
  #stale = true;

  constructor(
    deps: { readonly clock: Clock; readonly log: Log; readonly machine: Machine },
    options: { readonly paths: StoragePaths },
  ) {
    this.#deps = deps;
    this.#paths = options.paths;
  }

  get paths(): StoragePaths {
    return this.#paths;
  }

  set paths(paths: StoragePaths) {
    this.#paths = paths;
  }

  get stale(): boolean {
    return this.#stale;
  }

  /** What is known now; a folder that was never measured has nulls. */
  get value(): StoragePath[] {
    return this.#folders().map(({ kind, path }) => {
      const measured = this.#byMount.get(this.#keyOf(path))?.value.get(path);
      return { kind, path, ...(measured ?? NOTHING) };
    });
  }

  /** Measures all folders; resolves within about the deadline whatever hangs, and never rejects. */
  async run(deadlineMs: number): Promise<void> {
    const text = await this.#deps.machine.text("/proc/self/mountinfo");
    if (text !== null) this.#mounts = parseMountInfo(text);
    // The mount by the path's text names the probe; symbolic links are followed inside it, where hanging is allowed for.
    const wanted = new Set(this.#folders().map(({ path }) => this.#keyOf(path)));
    for (const [key, probe] of this.#byMount) {
      if (!wanted.has(key) && !probe.running) this.#byMount.delete(key);
    }
    // One after the other, so that a bad moment costs few threads; together they keep the deadline.
    let stale = false;
    for (const key of wanted) {
      const probe = this.#probe(key);
      const hung = [...this.#byMount.values()].filter((other) => other !== probe && other.running).length;
      if (hung < HUNG_MOUNTS_MAX) await probe.run(deadlineMs / HUNG_MOUNTS_MAX);
      stale ||= hung >= HUNG_MOUNTS_MAX || probe.stale;
    }
    this.#stale = stale;
  }

  #folders(): readonly { readonly kind: StoragePath["kind"]; readonly path: string }[] {
    const { persistent, ephemeral, bigstore } = this.#paths;
    return [
      { kind: "persistent", path: persistent },
      { kind: "ephemeral", path: ephemeral },
      ...(bigstore === null ? [] : [{ kind: "bigstore", path: bigstore } as const]),
    ];
  }

  #keyOf(path: string): string {
    return mountOf(path, this.#mounts)?.mountPoint ?? "/";
  }

  #probe(key: string): Probe<ReadonlyMap<string, Measured>> {
    const existing = this.#byMount.get(key);
    if (existing !== undefined) return existing;
    const read = async (): Promise<ReadonlyMap<string, Measured>> => {
      const found = new Map<string, Measured>();
      for (const { path } of this.#folders()) {
        if (this.#keyOf(path) === key) found.set(path, await this.#measure(path));
      }
      return found;
    };
    const probe = new Probe(this.#deps, { name: `storage ${key}`, fallback: new Map(), read });
    this.#byMount.set(key, probe);
    return probe;
  }

  async #measure(path: string): Promise<Measured> {
    const real = await nearestReal(this.#deps.machine, path);
    const space: Space = await this.#deps.machine.space(real);
    const mount = mountOf(real, this.#mounts);
    if (mount === null) return { ...NOTHING, ...space };
    return {
      size: space.size,
      free: space.free,
      filesystem: mount.filesystem,
      device: mount.source,
      mount_point: mount.mountPoint,
      rotational: await isRotational(this.#deps.machine, mount),
    };
  }
}

/** The path with its links followed; of a folder that is not made yet, the nearest one above that exists. */
async function nearestReal(machine: Machine, path: string): Promise<string> {
  for (let at = path; at !== dirname(at); at = dirname(at)) {
    try {
      return await machine.realPath(at);
    } catch {
      // Not there (yet), or not ours to enter: look above.
    }
  }
  return "/";
}
