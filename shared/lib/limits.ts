// Every cap of the product in one place: queues, frames, bodies, lists, retries. Units are in the names.

/** Largest frame on a mesh stream, its header included. A larger one ends the stream. */
export const MESH_FRAME_BYTES_MAX = 4 * 1024 * 1024;
/** Bytes that may wait in one stream's send buffer before further messages to that peer are dropped. */
export const MESH_SEND_BUFFER_BYTES_MAX = 16 * 1024 * 1024;
/** Requests to one peer that may wait for an answer at once. */
export const MESH_REQUESTS_MAX = 4096;
/** Longest a stranger may take for the whole join conversation. */
export const JOIN_CONVERSATION_MS_MAX = 30_000;
/** Strangers that may talk to the join protocol at once; further ones are refused. */
export const JOIN_STRANGERS_MAX = 128;
/** Largest frame a stranger may send. */
export const JOIN_FRAME_BYTES_MAX = 64 * 1024;

/** Largest body of a REST request. */
export const HTTP_BODY_BYTES_MAX = 1024 * 1024;
/** Longest URL (path and query) of a REST request. */
export const HTTP_URL_BYTES_MAX = 8 * 1024;
/** All request headers together. */
export const HTTP_HEADER_BYTES_MAX = 16 * 1024;
/** Event-stream readers one agent serves at once. */
export const EVENT_STREAMS_MAX = 256;
/** Changes kept for a slow event-stream reader before it is told to start anew. */
export const EVENT_QUEUE_MAX = 4096;
/** Readers that may wait for an index (`min_index`, blocking reads) at once. */
export const INDEX_WAITERS_MAX = 5000;

/** Largest command in the log, encoded. */
export const COMMAND_BYTES_MAX = 512 * 1024;
/** Commands of one agent that may be under way at once; further ones are refused as overloaded. */
export const PENDING_COMMANDS_MAX = 4096;
/** Bytes of uncommitted entries a leader accepts before it refuses further proposals (etcd: MaxUncommittedEntriesSize). */
export const UNCOMMITTED_BYTES_MAX = 32 * 1024 * 1024;
/** Bytes of entries in one append message. */
export const APPEND_BYTES_MAX = 1024 * 1024;
/** Append messages a leader keeps under way to one follower. */
export const APPENDS_IN_FLIGHT_MAX = 64;
/** Bytes of entries in those messages; half of a stream's send buffer, so that heartbeats always find room. */
export const APPENDS_IN_FLIGHT_BYTES_MAX = 8 * 1024 * 1024;
/** A snapshot is taken when the log has grown by this many entries since the last one … */
export const SNAPSHOT_ENTRIES = 4096;
/** … or by this many bytes. */
export const SNAPSHOT_LOG_BYTES = 4 * 1024 * 1024;
/** Entries kept in the log behind a snapshot, so that a peer which is a little behind needs no snapshot. */
export const LOG_TAIL_ENTRIES = 4096;
/** Idempotency keys of callers that are remembered; the oldest is forgotten first. */
export const IDEMPOTENCY_KEYS_MAX = 8192;
/** Most that one entry of the log adds to the time by which idempotency keys age. Milliseconds. */
export const LOG_LEAP_MS_MAX = 60_000;
/** How long (by the log's own time, leaps left out) an idempotency key of a caller is remembered at most. */
export const IDEMPOTENCY_KEY_AGE_MS_MAX = 3_600_000;

export const MEMBERS_MAX = 1024;
export const ZONES_MAX = 4096;
export const ZONE_NAME_CHARS_MAX = 128;
export const NODES_MAX = 20_000;
/** The free-form `cfg` of one registered node, encoded. */
export const NODE_CFG_BYTES_MAX = 64 * 1024;
export const USER_NAME_CHARS_MAX = 256;
export const PASSWORD_CHARS_MAX = 1024;
/** Addresses one host may announce. */
export const HOST_ADDRESSES_MAX = 256;
/** Bytes of one host's facts, encoded. */
export const HOST_FACTS_BYTES_MAX = 256 * 1024;
/** Levels of nesting in JSON from outside. Deeper values could exhaust the stack on one machine and not on another. */
export const JSON_DEPTH_MAX = 64;
/** An agent's command that is this far behind its newest one is refused as expired; bounds the remembered answers. */
export const SESSION_WINDOW_MAX = 16_384;
/** Records that one refusal names. Refusals are kept in the registry, so they must stay small. */
export const REFUSAL_NAMES_MAX = 32;
/** Password hashes that may wait for their turn; further ones are refused as overloaded. */
export const PASSWORD_HASHES_WAITING_MAX = 64;
/** Addresses one join request may name. */
export const JOIN_NODES_MAX = 64;
/** Largest answer to the question who an agent is on the mesh, asked of a stranger. */
export const CONTACT_BYTES_MAX = 64 * 1024;
/** Farthest a joiner's clock may be off the cluster's, either way, unless an agent's configuration says otherwise. */
export const JOIN_CLOCK_OFFSET_MS_MAX = 5000;
/** Source addresses, users, and pairs of them whose logins are remembered for slowing down guesses. */
export const LOGIN_SOURCES_MAX = 4096;
/** Credentials that are believed without a hash at once. */
export const VERIFIED_CREDENTIALS_MAX = 1024;
/** Connections one REST listener holds at once; further ones are closed. */
export const HTTP_CONNECTIONS_MAX = 8192;
/** Largest answer the command line reads from an agent. */
export const HTTP_ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** Consensus messages that may wait for their turn on one agent; further ones are dropped, the protocol repeats itself. */
export const CONSENSUS_INBOX_MAX = 8192;
/** Pulls of committed entries that may wait on one agent for something new. */
export const PULLS_WAITING_MAX = 2048;
/** Longest a pull may wait for something new. */
export const PULL_WAIT_MS_MAX = 5000;
/** Largest snapshot, before compression. */
export const SNAPSHOT_BYTES_MAX = 256 * 1024 * 1024;
/** Bytes of a compressed snapshot in one answer. */
export const SNAPSHOT_PIECE_BYTES = 256 * 1024;
/** Commands forwarded to the leader in one request. */
export const FORWARDED_COMMANDS_MAX = 256;
/** The text of a license. */
export const LICENSE_CHARS_MAX = 16 * 1024;
/** Certificates or a key in PEM. */
export const CERTIFICATE_CHARS_MAX = 64 * 1024;
export const DNS_SUFFIXES_MAX = 16;
export const USERS_MAX = 1024;
/** Join tokens that are listed at once, used and expired ones included. */
export const TOKENS_MAX = 1024;
/** Longest a join token may be valid. */
export const TOKEN_TTL_MS_MAX = 30 * 86_400_000;
/** How long a token that was used or has expired stays listed. */
export const TOKEN_KEPT_MS = 7 * 86_400_000;
export const TOKEN_NOTE_CHARS_MAX = 256;
/** A whole join token as text. */
export const TOKEN_CHARS_MAX = 8192;
/** Members that one token pins. */
export const TOKEN_PEERS_MAX = 8;
/**
 * By so much a recovery advances the index: what the lost copies had beyond the recovered one never gets an equal index, so that no
 * ETag or `min_index` of a lost entry can fit a new one.
 */
export const RECOVERY_INDEX_GAP = 1_048_576;
/** By so much it advances the counters that ids are drawn from, for the same reason. */
export const RECOVERY_ID_GAP = 1000;
/** Backups kept of those that were made automatically. */
export const BACKUPS_KEPT = 5;
/** Longest a reader of the bootstrap's state may wait for the next one. */
export const BOOTSTRAP_WAIT_MS_MAX = 600_000;
/** Parts of one bootstrap attempt that are remembered; the oldest are dropped first. */
export const BOOTSTRAP_STEPS_MAX = 64;
/** Readers of the bootstrap's state that may wait at once; anybody may before there is a cluster. */
export const BOOTSTRAP_WAITERS_MAX = 256;
/** How long a join token is valid when nobody says. */
export const TOKEN_TTL_MS_DEFAULT = 86_400_000;
/** Further tries that one bootstrap request may ask for. */
export const BOOTSTRAP_RETRIES_MAX = 100;
/** Servers or listeners that a node may be said to take: no host has ports for more. */
export const NODE_SERVERS_MAX = 65_535;
