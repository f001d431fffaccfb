import type { MemberId } from "#shared/lib/ids.ts";

/** Measurements that the median is taken of: enough to outvote a few that waited in some queue. */
const SAMPLES = 8;

interface Sample {
  readonly rttMs: number;
  readonly offsetMs: number;
}

export interface RoundTrip extends Sample {
  /** How many measurements these are the medians of. */
  readonly samples: number;
}

interface Question {
  readonly seq: number;
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** Round trip and clock offset to each peer, from probes and their answers (four time stamps, RFC 5905, section 8). */
export class RoundTrips {
  /** The last question to each peer; an answer to an older one tells less anyway. */
  readonly #asked = new Map<MemberId, Question>();
  readonly #samples = new Map<MemberId, Sample[]>();

  /** Asked again under one number: streams keep order, so what is answered first is the first question. */
  asked(peer: MemberId, question: Question): void {
    if (this.#asked.get(peer)?.seq !== question.seq) this.#asked.set(peer, question);
  }

  /**
   * `peerReceivedMs` and `peerSentMs` are by the peer's wall clock, the others by this agent's clocks. Returns whether the
   * answer could be used.
   */
  answered(
    peer: MemberId,
    answer: Question & { readonly peerReceivedMs: number; readonly peerSentMs: number },
  ): boolean {
    const question = this.#asked.get(peer);
    if (question?.seq !== answer.seq) return false;
    this.#asked.delete(peer);
    const away = answer.monotonicMs - question.monotonicMs;
    const sample = {
      rttMs: Math.max(0, away - Math.max(0, answer.peerSentMs - answer.peerReceivedMs)),
      offsetMs: (answer.peerReceivedMs - question.wallMs + (answer.peerSentMs - answer.wallMs)) / 2,
    };
    this.#samples.set(peer, [...(this.#samples.get(peer) ?? []), sample].slice(-SAMPLES));
    return true;
  }

  /** Null before the first answer. A positive offset: the peer's clock is ahead. */
  of(peer: MemberId): RoundTrip | null {
    const samples = this.#samples.get(peer);
    if (samples === undefined) return null;
    return {
      rttMs: median(samples.map(({ rttMs }) => rttMs)),
      offsetMs: median(samples.map(({ offsetMs }) => offsetMs)),
      samples: samples.length,
    };
  }

  /** It may be another life of its host, with another clock, or another way to it. */
  forget(peer: MemberId): void {
    this.#asked.delete(peer);
    this.#samples.delete(peer);
  }

  /** Forgets all but these. */
  keep(peers: ReadonlySet<MemberId>): void {
    for (const map of [this.#asked, this.#samples]) {
      for (const peer of map.keys()) if (!peers.has(peer)) map.delete(peer);
    }
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2;
}
