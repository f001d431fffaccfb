import { StoreDamaged, WriteFailed } from "#agent/ports/store.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";

const NOT_PERMITTED =
  "permission denied; run as the user muster or as root, or give other --data-dir, --api-listen and --mesh-listen";

/**
 * One sentence for a failure that an operator can do something about; null for a defect, which deserves a stack trace.
 * Libraries wrap what the system said, so the causes are looked through too.
 */
export function explainFailure(error: unknown): string | null {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth += 1) {
    if (isKind(cause, "path_error") && /^(?:EACCES|EPERM)\b/.test(cause.facts.cause)) {
      return `${cause.facts.path}: ${NOT_PERMITTED}`;
    }
    if (cause instanceof AppError || cause instanceof StoreDamaged) return cause.message;
    if (cause instanceof WriteFailed) {
      return `the store cannot be written (${cause.message}); make room or mend the disk, then start the agent again`;
    }
    const told = explainSystemError(cause);
    if (told !== null) return told;
    if (cause instanceof AggregateError) {
      const first = cause.errors.map(explainFailure).find((sentence) => sentence !== null);
      if (first !== undefined) return first;
    }
  }
  return null;
}

function explainSystemError(
  error: NodeJS.ErrnoException & { address?: string; port?: number },
): string | null {
  const where =
    error.port === undefined || error.port < 0
      ? (error.address ?? error.path)
      : `${error.address}:${error.port}`;
  if (where === undefined) return null;
  switch (error.code ?? "") {
    case "EADDRINUSE":
      return `${where} is in use by another process; give this agent other addresses (--api-listen, --mesh-listen)`;
    case "EADDRNOTAVAIL":
      return `${where} is no address of this host; check --api-listen and --mesh-listen`;
    case "EACCES":
    case "EPERM":
      return `${where}: ${NOT_PERMITTED}`;
    case "ENOENT":
      return `${where}: no such file or folder`;
    case "EROFS":
      return `${where}: the file system is read-only`;
    case "ENOSPC":
      return `${where}: no space left on the device`;
    default:
      return null;
  }
}
