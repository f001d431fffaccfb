// Evaluated before anything else, and by any Node there is: no syntax or library newer than Node 12 in this file.

export function nodeComplaint(version) {
  const numbers = version.split(".").map(Number);
  const enough = numbers[0] > 24 || (numbers[0] === 24 && numbers[1] >= 12);
  if (enough) return null;
  return (
    "muster needs Node 24.12 or newer, but this is Node " +
    version +
    "; use `npm run agent` (or `npm start`, `npm run muster`), which run on the Node 24 that npm installed."
  );
}

const complaint = nodeComplaint(process.versions.node);
if (complaint !== null) {
  process.stderr.write(complaint + "\n");
  process.exit(1);
}
