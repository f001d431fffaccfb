import { describe, expect, test } from "vitest";

import { ChangeFeed } from "#agent/api/native/feed.ts";
import { EVENT_QUEUE_MAX } from "#shared/lib/limits.ts";
import { epochMs } from "#shared/lib/time.ts";
import type { Change } from "#shared/registry/state.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";

/** A registry whose listeners the test calls itself. */
class Scripted extends LocalRegistry {
  tell: (changes: readonly Change[]) => void = () => undefined;
  reset: (index: number) => void = () => undefined;

  override onChange(listener: (changes: readonly Change[]) => void): Disposable {
    this.tell = listener;
    return { [Symbol.dispose]: () => undefined };
  }

  override onReset(listener?: (index: number) => void): Disposable {
    if (listener !== undefined) this.reset = listener;
    return { [Symbol.dispose]: () => undefined };
  }

  apply(index: number, ids: readonly string[] = ["x"]): void {
    this.state.index = index;
    this.tell(ids.map((id) => ({ index, at: epochMs(index), topic: "zones", op: "set", id })));
  }
}

function started(): { readonly registry: Scripted; readonly feed: ChangeFeed } {
  const registry = new Scripted();
  registry.state.index = 10;
  const feed = new ChangeFeed({ registry });
  feed.start();
  return { registry, feed };
}

describe("ChangeFeed", () => {
  test("what follows an index, in order, over indexes that changed nothing", () => {
    const { registry, feed } = started();
    for (const index of [11, 14, 15]) registry.apply(index);
    const told: number[] = [];
    for (let at = 10, next = feed.next(at); next; next = feed.next(at)) told.push((at = next.index));
    expect(told).toEqual([11, 14, 15]);
    expect(feed.next(12)?.index).toBe(14);
    expect(feed.next(15)).toBe(undefined);
    expect(feed.next(99)).toBe(undefined);
  });

  test("changes of one index stay together", () => {
    const { registry, feed } = started();
    registry.apply(11, ["a", "b"]);
    expect(feed.next(10)?.changes.map(({ id }) => id)).toEqual(["a", "b"]);
  });

  test("what was before the start is not known", () => {
    const { feed } = started();
    expect([feed.next(9), feed.next(10)]).toEqual([null, undefined]);
  });

  test("exactly as much is kept as the limit says", () => {
    const { registry, feed } = started();
    for (let i = 1; i <= EVENT_QUEUE_MAX + 1; i += 1) registry.apply(10 + i);
    expect(feed.next(10)).toBe(null);
    expect(feed.next(11)?.index).toBe(12);
  });

  test("after a snapshot, only what follows it; also when the new state is older", () => {
    const { registry, feed } = started();
    registry.apply(11);
    registry.state.index = 50;
    registry.reset(50);
    expect([feed.next(11), feed.next(49), feed.next(50)]).toEqual([null, null, undefined]);
    registry.apply(51);
    expect(feed.next(50)?.index).toBe(51);
  });

  test("listeners are told until they leave", () => {
    const { registry, feed } = started();
    let told = 0;
    const subscription = feed.onAdvance(() => (told += 1));
    registry.apply(11);
    registry.reset(12);
    subscription[Symbol.dispose]();
    registry.apply(13);
    expect(told).toBe(2);
  });
});
