// Runs after `npm ci`, on whatever Node there is. npm 10 and older lose `node_modules/.bin/node`: they clear away the
// package for the other processor, and with it the link of the same name. Without it npm scripts would run on the old Node.
import { existsSync, rmSync, symlinkSync } from "node:fs";

const link = new URL("../node_modules/.bin/node", import.meta.url);
const binary = `../node-linux-${process.arch}/bin/node`;
if (!existsSync(link) && existsSync(new URL(binary, link))) {
  rmSync(link, { force: true }); // A link to what is not there.
  symlinkSync(binary, link);
}
