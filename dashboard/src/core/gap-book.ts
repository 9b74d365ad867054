/** All outages that this page knows of, heard live and asked for: each once, in its latest version. */
import type { DeclaredGap } from './gaps';

/** The oldest are forgotten first. */
const GAPS_MAX = 2_000;

export class GapBook {
  private readonly gaps = new Map<string, DeclaredGap>();
  /** By symbol, from when on its outages have been asked for. */
  private readonly knownFrom = new Map<string, number>();

  /** Takes one in, unless a later version of it is here: what has healed stays healed, what has ended does not open again. */
  add(gap: DeclaredGap): void {
    const key = `${gap.source} ${gap.symbol} ${gap.from}`;
    const known = this.gaps.get(key);
    if (known !== undefined && rank(known) > rank(gap)) return;
    this.gaps.set(key, gap);
    if (this.gaps.size <= GAPS_MAX) return;
    const oldest = this.all[0];
    if (oldest !== undefined) this.gaps.delete(`${oldest.source} ${oldest.symbol} ${oldest.from}`);
  }

  /** Oldest first. */
  get all(): DeclaredGap[] {
    return [...this.gaps.values()].sort((a, b) => a.from - b.from);
  }

  /** Those that concern a symbol, oldest first. */
  of(symbol: string): DeclaredGap[] {
    return this.all.filter((gap) => gap.symbol === '*' || gap.symbol === symbol);
  }

  /** Whether all outages of a symbol since `from` have been asked for. */
  knows(symbol: string, from: number): boolean {
    return (this.knownFrom.get(symbol) ?? Infinity) <= from;
  }

  /** What is still to be asked to know everything since `from`: a range whose end `null` is now; `null` for nothing. */
  missing(symbol: string, from: number): { start: number; end: number | null } | null {
    const known = this.knownFrom.get(symbol);
    if (known !== undefined && known <= from) return null;
    return { start: from, end: known ?? null };
  }

  /** The outages of a symbol since `from` are here. */
  learned(symbol: string, from: number): void {
    this.knownFrom.set(symbol, Math.min(from, this.knownFrom.get(symbol) ?? Infinity));
  }

  /** Versions may have been missed: everything is to be asked again. */
  doubt(): void {
    this.knownFrom.clear();
  }
}

function rank({ to, healedAt }: DeclaredGap): number {
  return healedAt !== null ? 2 : to !== null ? 1 : 0;
}
