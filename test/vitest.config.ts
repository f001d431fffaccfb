import { defineConfig } from "vitest/config";

const SECONDS = 1000;

/** Needs root, the machine's network tools and minutes of time, so it runs only where it is asked for: `npm run test:netns`. */
const netns = {
  test: {
    name: "netns",
    include: ["test/netns/**/*.test.ts"],
    testTimeout: 600 * SECONDS,
    hookTimeout: 60 * SECONDS,
    fileParallelism: false,
  },
};

/** `npm test` runs unit, tidy, contract, sim, mesh and e2e; bench is `npm run bench`. */
export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    projects: [
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], testTimeout: 20 * SECONDS } },
      { test: { name: "tidy", include: ["test/tidy/**/*.test.ts"], testTimeout: 60 * SECONDS } },
      { test: { name: "contract", include: ["test/contract/**/*.test.ts"], testTimeout: 30 * SECONDS } },
      { test: { name: "sim", include: ["test/sim/**/*.test.ts"], testTimeout: 300 * SECONDS } },
      {
        test: {
          name: "mesh",
          include: ["test/mesh/**/*.test.ts"],
          testTimeout: 60 * SECONDS,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          // Generous: many of these start a dozen processes, one after the other, on a machine that may be busy.
          testTimeout: 300 * SECONDS,
          hookTimeout: 300 * SECONDS,
          fileParallelism: false,
        },
      },
      ...(process.argv.includes("netns") ? [netns] : []),
    ],
  },
});
