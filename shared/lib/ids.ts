/** A host in the mesh and in the log: its libp2p peer id as text (`12D3KooW…`), made of its own key. Opaque to protocols. */
export type MemberId = string;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether the text is a UUID in its canonical form (RFC 9562, section 4), of any version. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}
