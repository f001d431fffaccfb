import { CONSENSUS_ENTRY_KINDS, check } from "./wire.ts";
import type { Wire } from "#agent/ports/transport.ts";
import type { Entry, Message } from "#shared/consensus/messages.ts";
import type { MemberId } from "#shared/lib/ids.ts";

// How consensus messages travel. Who speaks to whom is proven by the link and left out. What is said all the time, to every
// voter and from each, is a list that begins with a letter; everything else is an object with its fields. An idle leader
// sends little else than heartbeats, so their size is what an idle cluster costs.

type Kind = Message["type"];
type MessageOf<K extends Kind> = Extract<Message, { type: K }>;
type Body<K extends Kind> = Omit<MessageOf<K>, "from" | "to" | "type">;

/** One way to write a kind as a list. `read` may give anything: what comes of it is checked like every other message. */
interface Form<K extends Kind> {
  readonly letter: string;
  write(message: MessageOf<K>): readonly Wire[];
  read(fields: readonly Wire[]): { readonly [F in keyof Body<K>]: unknown };
}

const FORMS: { readonly [K in Kind]?: Form<K> } = {
  heartbeat: {
    letter: "h",
    write: ({ term, commit, round }) => [term, commit, round],
    read: ([term, commit, round]) => ({ term, commit, round }),
  },
  heartbeat_answer: {
    letter: "H",
    write: ({ term, round }) => [term, round],
    read: ([term, round]) => ({ term, round }),
  },
  commit: {
    letter: "c",
    write: ({ term, commit }) => [term, commit],
    read: ([term, commit]) => ({ term, commit }),
  },
  append: {
    letter: "a",
    write: ({ term, prevIndex, prevTerm, commit, entries }) => [
      term,
      prevIndex,
      prevTerm,
      commit,
      entries.map(({ term: of, kind, data }) => [of, CONSENSUS_ENTRY_KINDS.indexOf(kind), data]),
    ],
    read: ([term, prevIndex, prevTerm, commit, entries]) => ({
      term,
      prevIndex,
      prevTerm,
      commit,
      entries: Array.isArray(entries)
        ? entries.map((one, i) => readEntry(one as Wire, Number(prevIndex) + 1 + i))
        : null,
    }),
  },
  append_answer: {
    letter: "A",
    write: ({ term, ok, index, hintTerm }) => [term, ok, index, hintTerm],
    read: ([term, ok, index, hintTerm]) => ({ term, ok, index, hintTerm }),
  },
};

const KIND_OF = new Map(Object.entries(FORMS).map(([kind, { letter }]) => [letter, kind as Kind]));

/** The message as it travels to the peer that it is for. */
export function encodeMessage(message: Message): Wire {
  // The table pairs each kind with its form; TypeScript cannot follow that through one variable.
  const form = FORMS[message.type] as Form<Kind> | undefined;
  if (form !== undefined) return [form.letter, ...form.write(message)];
  const { from: _from, to: _to, ...rest } = message;
  return rest;
}

/** What a peer sent to this agent; null when it is no consensus message. Nobody can speak for another one. */
export function decodeMessage(from: MemberId, to: MemberId, body: Wire): Message | null {
  const fields = Array.isArray(body) ? readList(body) : body;
  if (fields === null || typeof fields !== "object" || "from" in fields || "to" in fields) return null;
  const message: unknown = { ...fields, from, to };
  return check.message.Check(message) ? message : null;
}

function readList([letter, ...fields]: readonly Wire[]): object | null {
  const kind = typeof letter === "string" ? KIND_OF.get(letter) : undefined;
  const form = kind === undefined ? undefined : (FORMS[kind] as Form<Kind>);
  return form === undefined ? null : { type: kind, ...form.read(fields) };
}

/** Entries of one message follow each other: their indexes need not be said. */
function readEntry(entry: Wire, index: number): { readonly [F in keyof Entry]: unknown } | null {
  if (!Array.isArray(entry)) return null;
  const [term, kind, data] = entry as readonly Wire[];
  return { index, term, kind: typeof kind === "number" ? CONSENSUS_ENTRY_KINDS[kind] : undefined, data };
}
