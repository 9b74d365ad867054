/**
 * Which sale condition lets a trade move which field of a candle: the consolidated tapes' guidance, field by field, the same
 * table that the feed side uses. Of several conditions on one trade the strictest decides.
 */

/** How a trade may set open and close; a lower number is stricter. */
export const OpenClose = { Never: 0, IfUnset: 1, IfNewest: 2, Always: 3 } as const;
export type OpenClose = (typeof OpenClose)[keyof typeof OpenClose];

export interface Eligibility {
  /** May raise the high and lower the low. */
  readonly highLow: boolean;
  readonly openClose: OpenClose;
  /** Adds to the volume. */
  readonly volume: boolean;
}

const FULL: Eligibility = { highLow: true, openClose: OpenClose.Always, volume: true };
const VOLUME_ONLY: Eligibility = { highLow: false, openClose: OpenClose.Never, volume: true };
const NOTHING: Eligibility = { ...VOLUME_ONLY, volume: false };

/**
 * What a trade with these `conditions` on `tape` may change.
 *
 * `extendedHours`: whether it happened outside 09:30–16:00 New York time, where form T trades move prices too.
 */
export function eligibility(conditions: readonly string[] = [], tape?: string, extendedHours = false): Eligibility {
  let strictest = FULL;
  for (const code of conditions) {
    const one = ofOne(code, tape === 'C', extendedHours);
    if (one === FULL) continue;
    strictest = {
      highLow: strictest.highLow && one.highLow,
      openClose: Math.min(strictest.openClose, one.openClose) as OpenClose,
      volume: strictest.volume && one.volume,
    };
  }
  return strictest;
}

function ofOne(code: string, utp: boolean, extendedHours: boolean): Eligibility {
  switch (code) {
    case 'L':
      return { ...FULL, openClose: OpenClose.IfNewest };
    case 'Z':
    case 'P':
    case '4':
    case 'G':
      return { ...FULL, openClose: OpenClose.IfUnset };
    case 'I': // odd lot
    case 'C':
    case 'N':
    case 'R':
    case 'H':
    case 'V':
    case '7':
      return VOLUME_ONLY;
    // Average price is B on tapes A and B, W on tape C.
    case 'B':
      return utp ? FULL : VOLUME_ONLY;
    case 'W':
      return utp ? VOLUME_ONLY : FULL;
    case 'T':
    case 'U':
      return extendedHours ? FULL : VOLUME_ONLY;
    // Official prices of one market centre repeat volume that is already on the tape.
    case 'Q':
    case 'M':
      return NOTHING;
    case '9':
      return { ...FULL, volume: false };
    // Regular, sweep, cross, opening and closing prints, and any code that is newer than this table.
    default:
      return FULL;
  }
}
