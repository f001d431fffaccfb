import * as fc from "fast-check";
import { Uint8ArrayList } from "uint8arraylist";
import { describe, expect, test } from "vitest";

import { encodeFrame, FrameDecoder, FrameViolation, heartbeatFrame } from "#agent/mesh/frames.ts";

const LIMIT = 1000;

function decoder(): { values: unknown[]; decoder: FrameDecoder } {
  const values: unknown[] = [];
  return {
    values,
    decoder: new FrameDecoder({ onValue: (value) => values.push(value) }, { bytesMax: LIMIT }),
  };
}

describe("frames", () => {
  test("come out as they went in, however the bytes are cut", () => {
    const values = fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 8 });
    const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 30 });
    fc.assert(
      fc.property(values, cuts, fc.boolean(), (sent, at, asList) => {
        fc.pre(sent.every((value) => Buffer.byteLength(JSON.stringify(value)) <= LIMIT - 4));
        const frames = sent.flatMap((value) => [encodeFrame(JSON.stringify(value), LIMIT), heartbeatFrame()]);
        const bytes = Buffer.concat(frames);
        const bounds = [0, ...at.filter((n) => n < bytes.length).toSorted((x, y) => x - y), bytes.length];
        const pieces = bounds.slice(1).map((end, i) => bytes.subarray(bounds[i], end));
        const { values: got, decoder: reader } = decoder();
        if (asList) reader.push(new Uint8ArrayList(...pieces));
        else for (const piece of pieces) reader.push(piece);
        expect(got).toEqual(JSON.parse(JSON.stringify(sent)));
      }),
    );
  });

  test("may be exactly as large as the limit, header included, and not one byte more", () => {
    const text = (bytes: number): string => JSON.stringify("x".repeat(bytes - 4 - 2));
    const { values, decoder: reader } = decoder();
    reader.push(encodeFrame(text(LIMIT), LIMIT));
    expect(values).toHaveLength(1);
    expect(() => encodeFrame(text(LIMIT + 1), LIMIT)).toThrow("larger");
    const tooLarge = encodeFrame(text(LIMIT + 1), LIMIT + 1);
    expect(() => decoder().decoder.push(tooLarge)).toThrow(FrameViolation);
    expect(() => {
      for (const byte of tooLarge.subarray(0, 4)) reader.push(Uint8Array.of(byte));
    }).toThrow(FrameViolation);
  });

  test("that are no JSON are a violation", () => {
    expect(() => decoder().decoder.push(encodeFrame("{", LIMIT))).toThrow(FrameViolation);
  });
});
