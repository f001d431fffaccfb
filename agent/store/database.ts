import type { Level } from "level";

/** The one Level database behind all stores. Values are sealed records (record.ts) or pieces of a snapshot. */
export type Database = Level<string, Uint8Array>;

/** One step of an atomic batch. */
export type Step =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array }
  | { readonly type: "del"; readonly key: string };

/** Where to read: the database as it was when a snapshot of it was taken, or as it is. */
export type View = Pick<GetOptions, "snapshot">;

type GetOptions = NonNullable<Parameters<Database["get"]>[1]>;
