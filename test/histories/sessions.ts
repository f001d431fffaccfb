import type { Call } from "./history.ts";

/** A call that was answered, with the index of its answer. */
interface Indexed {
  readonly call: Call;
  readonly index: number;
}

/**
 * What X-Muster-Index promises, checked on every answer:
 * - an agent never goes back, as long as it lives: calls one after the other, from whomever, see indexes that do not fall;
 * - a read with min_index shows that index at least;
 * - a linearizable read is no older than anything that anybody was shown before it began, by whichever agent.
 */
export function brokenIndexes(calls: readonly Call[]): string[] {
  const answered = calls.flatMap((call): Indexed[] => {
    const { outcome } = call;
    return outcome.type === "answered" && outcome.index !== null ? [{ call, index: outcome.index }] : [];
  });
  const reads = answered.filter(({ call }) => call.read !== null);
  return [
    ...reads
      .filter(({ call, index }) => index < (call.read?.min_index ?? 0))
      .map((read) => `${told(read)}: below its min_index ${read.call.read?.min_index}`),
    ...[...Map.groupBy(answered, ({ call }) => `${call.agent} ${call.life}`).values()].flatMap((own) =>
      own.flatMap((later) => fallsBehind(later, own).map((newer) => `${told(later)}: after ${told(newer)}`)),
    ),
    ...reads
      .filter(({ call }) => call.read?.consistency === "linearizable")
      .flatMap((read) =>
        fallsBehind(read, answered).map((newer) => `stale: ${told(read)} linearizably, after ${told(newer)}`),
      ),
  ];
}

/** The newest answer that had come before this call began, if the call's own is older. */
function fallsBehind({ call, index }: Indexed, others: readonly Indexed[]): Indexed[] {
  let newest: Indexed | null = null;
  for (const other of others) {
    if (other.call.ended_ms < call.invoked_ms && other.index > (newest?.index ?? index)) newest = other;
  }
  return newest === null ? [] : [newest];
}

function told({ call, index }: Indexed): string {
  const { agent, life, client, action, invoked_ms, ended_ms } = call;
  const span = `${invoked_ms.toFixed(1)}–${ended_ms.toFixed(1)} ms`;
  return `${span} client ${client}, ${action.type} at ${agent}/${life}, index ${index}`;
}
