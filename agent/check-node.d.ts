/** The sentence for a Node that cannot run the agent; null for one that can. `version` without the leading `v`. */
export function nodeComplaint(version: string): string | null;
