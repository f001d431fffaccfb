import { removeOf } from "./leftovers.ts";

// Waits until the process whose id it is given has ended, and removes what that left. See guardEnd in leftovers.ts.

process.stdin.resume();
process.stdin.once("close", () => removeOf(Number(process.argv[2])));
