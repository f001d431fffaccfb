/** Seed 003, "Example JSON body", "Create cluster". */
export const CREATE = {
  action: "create_cluster",
  cluster: { nodes: [], name: "my.cluster" },
  node: {
    paths: {
      persistent_path: "/path/to/persistent/storage",
      ephemeral_path: "/path/to/ephemeral/storage",
      bigstore_path: "/path/to/bigredis/storage",
    },
    identity: { addr: "1.2.3.4", external_addr: ["2001:0db8:85a3:0000:0000:8a2e:0370:7334", "3.4.5.6"] },
    bigstore_driver: "rocksdb",
  },
  license: "----- LICENSE START -----\ndi+iK...KniI9\n----- LICENSE END -----\n",
  credentials: { username: "my_username", password: "my_password" },
};

/** Seed 003, "Example JSON body", "Join cluster". */
export const JOIN = {
  action: "join_cluster",
  cluster: { nodes: ["1.1.1.1", "2.2.2.2"] },
  node: {
    paths: {
      persistent_path: "/path/to/persistent/storage",
      ephemeral_path: "/path/to/ephemeral/storage",
      bigstore_path: "/path/to/bigstore/storage",
    },
    bigstore_driver: "speedb",
    identity: { addr: "1.2.3.4", external_addr: ["2001:0db8:85a3:0000:0000:8a2e:0370:7334", "3.4.5.6"] },
  },
  credentials: { username: "my_username", password: "my_password" },
};

/** All that a script needs to send to create a cluster. */
export const SMALLEST = {
  cluster: { name: "docker-cluster" },
  credentials: { username: "admin", password: "redis" },
};
