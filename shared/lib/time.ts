/** Wall-clock time: milliseconds since 1970-01-01T00:00:00Z, as an integer. Only for showing and for stamping records. */
export type EpochMs = number & { readonly __unit: "epoch_ms" };

/** Makes an EpochMs of a plain number of milliseconds since the epoch. */
export function epochMs(value: number): EpochMs {
  return Math.trunc(value) as EpochMs;
}

/** Whole seconds in UTC, `2014-08-29T11:19:49Z`: the form of every time in seed 003. */
export function isoSeconds(at: EpochMs): string {
  return `${isoMilliseconds(at).slice(0, 19)}Z`;
}

const DAY_MS = 86_400_000;

/**
 * `2014-08-29T11:19:49.123Z`. Written out because `shared/` has no Date: the civil calendar from a day count,
 * after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (civil_from_days).
 */
export function isoMilliseconds(at: EpochMs): string {
  const days = Math.floor(at / DAY_MS);
  const ms = at - days * DAY_MS;
  const shifted = days + 719_468; // Days since 0000-03-01.
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const pad = (value: number, width = 2): string => String(value).padStart(width, "0");
  const seconds = Math.floor(ms / 1000);
  const clock = `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
  return `${pad(year, 4)}-${pad(month)}-${pad(day)}T${clock}.${pad(ms % 1000, 3)}Z`;
}
