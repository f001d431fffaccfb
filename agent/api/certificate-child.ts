import { text } from "node:stream/consumers";

import { fromWire } from "./certificate-wire.ts";
import { makeSelfSigned } from "./x509.ts";

// A process of its own, asked once in an agent's life: what makes a certificate takes memory that the agent's process would keep.

process.stdout.write(JSON.stringify(await makeSelfSigned(fromWire(await text(process.stdin)))));
