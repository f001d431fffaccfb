/** The product's version, as in package.json (a test compares the two). */
export const SOFTWARE_VERSION = "0.1.0";

/** Version of what agents say to each other. An agent refuses a peer whose version it does not speak. */
export const MESH_PROTOCOL_VERSION = 1;
