import { execFile } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { toWire } from "#agent/api/certificate-wire.ts";
import type { CertificateSubject } from "#agent/api/x509.ts";
import { AppError } from "#shared/errors/app-error.ts";

/** What a TLS listener shows and proves. PEM texts. */
export interface TlsIdentity {
  readonly certificate: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** Folder that holds the two files; it exists. */
  readonly directory: string;
  readonly hostname: string;
  /** This host's IP addresses as they are when the certificate is made. */
  readonly addresses: readonly string[];
}

const CERTIFICATE_FILE = "api-certificate.pem";
const KEY_FILE = "api-key.pem";
const DAY_MS = 86_400_000;
/** Ten years: nobody renews it, and who minds puts a certificate of their own in its place. */
const VALID_MS = 3653 * DAY_MS;

/** The one place that knows where the child's code is. */
const CHILD = fileURLToPath(new URL("./certificate-child.ts", import.meta.url));
/** Longest it may take on a loaded machine. Milliseconds. */
const CHILD_MS_MAX = 30_000;
/** What is told of its complaints: their end. */
const STDERR_CHARS_MAX = 2000;

/**
 * This agent's certificate for its REST API. The first start makes a self-signed one (ECDSA P-256); later starts, and
 * files an operator has put there, are used as they are. Throws path_error when the two do not fit.
 */
export async function ensureCertificate(options: CertificateOptions): Promise<TlsIdentity> {
  const { directory } = options;
  const [certificateFile, keyFile] = [join(directory, CERTIFICATE_FILE), join(directory, KEY_FILE)];
  const [certificate, key] = [await readIfThere(certificateFile), await readIfThere(keyFile)];
  if (certificate !== null && key !== null) {
    checkPair(certificate, key, certificateFile, keyFile);
    return { certificate, key };
  }
  // A start that was cut short left one of the two; alone it is worth nothing.
  await rm(certificateFile, { force: true });
  const made = await makeCertificate(options);
  await writeWhole(keyFile, made.key, 0o600);
  await writeWhole(certificateFile, made.certificate, 0o644);
  return made;
}

function checkPair(certificate: string, key: string, certificateFile: string, keyFile: string): void {
  let fits: boolean;
  try {
    fits = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch {
    const cause = `it or ${keyFile} cannot be read; remove both to have new ones made`;
    throw new AppError("path_error", { path: certificateFile, cause });
  }
  if (!fits) {
    const cause = `it is not the key of ${certificateFile}; remove both to have new ones made`;
    throw new AppError("path_error", { path: keyFile, cause });
  }
}

function makeCertificate({ hostname, addresses }: CertificateOptions): Promise<TlsIdentity> {
  const now = Date.now();
  return askChild({
    commonName: hostname,
    dnsNames: [...new Set([hostname, "localhost"])],
    // Interfaces (`%eth0`) mean something on this host only.
    addresses: [...new Set(["127.0.0.1", "::1", ...addresses.filter((address) => !address.includes("%"))])],
    // A day back, for callers whose clocks are behind.
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + VALID_MS),
  });
}

/** The subject goes in and the pair comes out by pipes: the key is never in a file of the child's, nor in a process list. */
async function askChild(subject: CertificateSubject): Promise<TlsIdentity> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = {
    timeout: CHILD_MS_MAX,
    killSignal: "SIGKILL",
    // Nothing of the agent's own: no options meant for its process.
    env: { PATH: process.env["PATH"] },
  } as const;
  const child = execFile(process.execPath, [CHILD], options, (error, stdout, stderr) => {
    // Not its output, where the key may be.
    const late = error?.killed === true ? `not within ${CHILD_MS_MAX} ms; ` : "";
    if (error === null) resolve(stdout);
    else reject(new Error(`the certificate could not be made: ${late}${stderr.slice(-STDERR_CHARS_MAX)}`));
  });
  child.stdin?.on("error", () => undefined).end(toWire(subject)); // A child that is gone says so above.
  return JSON.parse(await promise) as TlsIdentity;
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** Writes a file that is there whole or not at all, and was never readable by more than `mode` allows. */
async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const file = await open(temporary, "wx", mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
