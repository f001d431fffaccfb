import type { PasswordVerifier } from "#shared/registry/command.ts";

/** A user's name and password as a caller gave them. Never logged, never stored. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Password work. Hashes run one at a time: the thread pool is shared with the log (docs/adr). */
export interface Passwords {
  /** Makes a verifier with a fresh salt. */
  derive(password: string): Promise<PasswordVerifier>;
  /** Constant-time. `null` stands for an unknown user and takes as long. Rejects with overloaded when too many wait. */
  verify(password: string, verifier: PasswordVerifier | null): Promise<boolean>;
}
