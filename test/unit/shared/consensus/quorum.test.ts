import * as fc from "fast-check";
import { expect, test } from "vitest";

import { quorumReached, tally } from "#shared/consensus/quorum.ts";

// Majorities against their plain definition, for every configuration of up to seven voters that chance finds.

const member = fc.constantFrom("a", "b", "c", "d", "e", "f", "g");
const members = fc.uniqueArray(member, { minLength: 1 });
const config = fc.record({
  voters: members,
  outgoing: fc.oneof(fc.constant<string[]>([]), members),
  learners: fc.constant<string[]>([]),
});
const isMajority = (set: readonly string[], of: (id: string) => boolean): boolean =>
  2 * set.filter(of).length > set.length;

test("what is reached is the largest number that a majority of each set of voters has reached", () => {
  fc.assert(
    fc.property(config, fc.dictionary(member, fc.nat(9)), (voting, at) => {
      const sets = [voting.voters, ...(voting.outgoing.length > 0 ? [voting.outgoing] : [])];
      const holds = (index: number): boolean =>
        sets.every((set) => isMajority(set, (id) => (at[id] ?? 0) >= index));
      const reached = quorumReached(voting, (id) => at[id] ?? 0);
      expect(holds(reached)).toBe(true);
      expect(holds(reached + 1)).toBe(false);
    }),
  );
});

test("an election is won with a majority of each set, lost when no answers to come can bring one, and open otherwise", () => {
  fc.assert(
    fc.property(config, fc.dictionary(member, fc.boolean()), (voting, votes) => {
      const sets = [voting.voters, ...(voting.outgoing.length > 0 ? [voting.outgoing] : [])];
      const won = sets.every((set) => isMajority(set, (id) => votes[id] === true));
      const winnable = sets.every((set) => isMajority(set, (id) => votes[id] !== false));
      const expected = won ? "won" : winnable ? "open" : "lost";
      expect(tally(voting, new Map(Object.entries(votes)))).toBe(expected);
    }),
  );
});
