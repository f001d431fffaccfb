/** Classic BPF opcodes (Linux, networking/filter). */
const LOAD_HALF_WORD = 0x28;
const LOAD_WORD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_AT_LEAST = 0x35;
const RETURN = 0x06;

/** Where a frame has its ether type, and an IPv4 packet in it its destination. Bytes. */
const ETHER_TYPE_AT = 12;
const DESTINATION_AT = 30;
const IPV4 = 0x0800;
/** SKF_AD_OFF + SKF_AD_RANDOM: loads a random word in place of a part of the frame. */
const RANDOM_AT = 0xff_ff_f0_38;

/** Verdicts of a direct-action classifier: TC_ACT_OK and TC_ACT_SHOT. */
const PASS = 0;
const DROP = 2;

/**
 * A program for `tc filter … bpf direct-action bytecode`: drops IPv4 packets to some addresses, and a share of all other IPv4
 * packets. Silently, as a broken path does: the sender learns nothing. ARP passes, else senders would be told.
 */
export function dropping(destinations: readonly string[], loss: number): string {
  const checks = destinations.length;
  // Jumps count the instructions that are left out; the last two are `pass` and `drop`.
  const length = 2 + (checks > 0 ? checks + 1 : 0) + (loss > 0 ? 2 : 0) + 2;
  const program: string[] = [];
  const over = (target: "pass" | "drop"): number =>
    length - (target === "pass" ? 2 : 1) - (program.length + 1);
  const add = (code: number, ifTrue: number, ifFalse: number, value: number): void => {
    program.push(`${code} ${ifTrue} ${ifFalse} ${value}`);
  };
  add(LOAD_HALF_WORD, 0, 0, ETHER_TYPE_AT);
  add(JUMP_IF_EQUAL, 0, over("pass"), IPV4);
  if (checks > 0) add(LOAD_WORD, 0, 0, DESTINATION_AT);
  for (const address of destinations) add(JUMP_IF_EQUAL, over("drop"), 0, numberOf(address));
  if (loss > 0) {
    add(LOAD_WORD, 0, 0, RANDOM_AT);
    add(JUMP_IF_AT_LEAST, over("pass"), over("drop"), Math.round(loss * 2 ** 32));
  }
  add(RETURN, 0, 0, PASS);
  add(RETURN, 0, 0, DROP);
  return `${program.length},${program.join(",")}`;
}

function numberOf(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}
