const OCTET = /^(?:0|[1-9]\d{0,2})$/;
const GROUP = /^[0-9a-f]{1,4}$/i;
const GROUPS = 8;

/** Whether the text is an IPv4 or IPv6 address (RFC 4291, section 2.2), without port, prefix or zone. */
export function isIpAddress(text: string): boolean {
  return isIpv4(text) || isIpv6(text);
}

function isIpv4(text: string): boolean {
  const octets = text.split(".");
  return octets.length === 4 && octets.every((octet) => OCTET.test(octet) && Number(octet) <= 255);
}

function isIpv6(text: string): boolean {
  const [left = "", right, ...more] = text.split("::");
  if (more.length > 0) return false;
  const count = groupsIn(left, right === undefined) + groupsIn(right ?? "", true);
  return right === undefined ? count === GROUPS : count < GROUPS;
}

/** How many groups of 16 bits the text has, NaN when it has anything else. An IPv4 address may be the last two (section 2.2.3). */
function groupsIn(text: string, last: boolean): number {
  if (text === "") return 0;
  const groups = text.split(":");
  const tail = groups.at(-1) ?? "";
  const embedded = last && isIpv4(tail);
  const plain = embedded ? groups.slice(0, -1) : groups;
  return plain.every((group) => GROUP.test(group)) ? plain.length + (embedded ? 2 : 0) : Number.NaN;
}
