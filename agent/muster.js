#!/usr/bin/env node
// The `muster` command. Old Nodes must get as far as the first import: plain JavaScript, no top-level await.
import "./check-node.js";

const isAgent = process.argv[2] === "agent";
if (isAgent) process.argv.splice(2, 1);

// Two imports, each with its path: the bundler has to find them.
const main = isAgent ? import("./main.ts") : import("./cli/main.ts");
main.catch(function (error) {
  process.stderr.write((error && error.stack) + "\n");
  process.exit(1);
});
