import type { Inventory, StoragePaths } from "#agent/ports/inventory.ts";
import type { HostFacts, StoragePath } from "#shared/model/hardware.ts";

type Listener = (facts: HostFacts) => void;

/** A host as the test describes it: set `facts` to make it another one. Its storage folders follow `setPaths`. */
export class FakeInventory implements Inventory {
  readonly #listeners = new Set<Listener>();
  #facts: HostFacts;
  #paths: StoragePaths;

  /** Without `paths`, the folders are those of the facts. */
  constructor(facts: HostFacts, paths: StoragePaths = pathsOf(facts)) {
    this.#paths = paths;
    this.#facts = withStorage(facts, paths);
  }

  get facts(): HostFacts {
    return this.#facts;
  }

  set facts(facts: HostFacts) {
    this.#facts = withStorage(facts, this.#paths);
    for (const listener of this.#listeners) listener(this.#facts);
  }

  current(): HostFacts {
    return this.#facts;
  }

  async refresh(): Promise<HostFacts> {
    return this.#facts;
  }

  onChange(listener: Listener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  setPaths(paths: StoragePaths): void {
    this.#paths = paths;
    this.facts = this.#facts;
  }

  paths(): StoragePaths {
    return this.#paths;
  }
}

function pathsOf({ live }: HostFacts): StoragePaths {
  const path = (wanted: StoragePath["kind"]) => live.storage.find(({ kind }) => kind === wanted)?.path;
  return {
    persistent: path("persistent") ?? "/persist",
    ephemeral: path("ephemeral") ?? "/tmp",
    bigstore: path("bigstore") ?? null,
  };
}

/** The facts with those folders; what they say of a kind of folder is kept. */
function withStorage(facts: HostFacts, paths: StoragePaths): HostFacts {
  const { storage } = facts.live;
  const unknown = {
    size: null,
    free: null,
    filesystem: null,
    device: null,
    mount_point: null,
    rotational: null,
  };
  const kinds = ["persistent", "ephemeral", "bigstore"] as const;
  const folders = kinds.flatMap((kind): StoragePath[] => {
    const path = paths[kind];
    const known = storage.find((folder) => folder.kind === kind);
    return path === null ? [] : [{ ...unknown, ...known, kind, path }];
  });
  return { ...facts, live: { ...facts.live, storage: folders } };
}
