declare module '*/rehearsal/main.mjs' {
  export interface Stage {
    readonly url: string;
    /** Changes what goes wrong, and what the market does. */
    control(changes: Record<string, string>): unknown;
    stop(): Promise<void>;
  }
  export function rehearse(options?: { port?: number; symbols?: string[]; rate?: number; seed?: number }): Promise<Stage>;
}
