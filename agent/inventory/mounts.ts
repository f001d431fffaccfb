import type { Machine } from "./machine.ts";

/** One line of /proc/self/mountinfo (proc(5)). */
export interface Mount {
  readonly mountPoint: string;
  /** `major:minor` of the device; `0:…` for filesystems without one (btrfs, overlay, network). */
  readonly device: string;
  readonly filesystem: string;
  /** Device file or what stands for it (`server:/export`). */
  readonly source: string;
}

/** Blanks in paths are written as octal escapes there: `\040`. */
export function parseMountInfo(text: string): readonly Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split("\n")) {
    // Optional fields of any number stand before the lone dash.
    const [left, right] = line.split(" - ", 2).map((half) => half.split(" "));
    const [device, mountPoint] = [left?.[2], left?.[4]];
    const [filesystem, source] = [right?.[0], right?.[1]];
    if (device === undefined || mountPoint === undefined || filesystem === undefined || source === undefined)
      continue;
    mounts.push({
      mountPoint: unescape(mountPoint),
      device,
      filesystem: unescape(filesystem),
      source: unescape(source),
    });
  }
  return mounts;
}

/** The mount a path lies on: the longest mount point that contains it; of two on the same point the later one hides the earlier. */
export function mountOf(path: string, mounts: readonly Mount[]): Mount | null {
  let best: Mount | null = null;
  for (const mount of mounts) {
    const within =
      mount.mountPoint === "/" || path === mount.mountPoint || path.startsWith(`${mount.mountPoint}/`);
    if (within && mount.mountPoint.length >= (best?.mountPoint.length ?? 0)) best = mount;
  }
  return best;
}

/** Whether the disk behind a mount turns; null where no disk can be named (network, memory, overlay). */
export async function isRotational(machine: Machine, mount: Mount): Promise<boolean | null> {
  const folders = [`/sys/dev/block/${mount.device}`];
  const name = /^\/dev\/([^/]+)$/.exec(mount.source)?.[1];
  if (name !== undefined) folders.push(`/sys/class/block/${name}`);
  for (const folder of folders) {
    // A partition has no queue of its own; its folder (behind the link) lies in its disk's.
    for (const queue of [`${folder}/queue`, `${folder}/../queue`]) {
      const flag = await machine.text(`${queue}/rotational`);
      if (flag === "0" || flag === "1") return flag === "1";
    }
  }
  return null;
}

function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCodePoint(Number.parseInt(octal, 8)),
  );
}
