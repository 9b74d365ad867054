/** What stands where the chart has no candles, and the line that says what it is busy with. */
import { h, setText } from './dom';

export type ChartKind = 'loading' | 'joining' | 'joined' | 'error' | 'empty';

export interface ChartState {
  readonly element: HTMLElement;
  readonly progressElement: HTMLElement;
  show(kind: ChartKind, symbol: string, error: string | null, busy: boolean): void;
  progress(text: string): void;
}

/** `retry` is what the button "Try now" does. */
export function chartState(retry: () => void): ChartState {
  const element = h('div', { class: 'chart-state message' });
  const progressElement = h('div', { class: 'chart-progress', role: 'status', hidden: true });
  const progress = (text: string) => {
    progressElement.hidden = text === '';
    setText(progressElement, text);
  };
  let shown = '';
  return {
    element,
    progressElement,
    progress,
    show(kind, symbol, error, busy) {
      const hasCandles = kind === 'joining' || kind === 'joined';
      element.hidden = hasCandles;
      if (hasCandles) {
        if (!busy) progress(error === null ? '' : `History is not available: ${error}. Live trades continue; trying again.`);
        return;
      }
      const now = `${kind} ${symbol} ${error}`;
      if (now === shown) return;
      shown = now;
      if (kind === 'loading') element.replaceChildren(h('div', { class: 'spinner' }), `Loading ${symbol} …`);
      else if (kind === 'error') {
        element.replaceChildren(
          h('strong', {}, `No history of ${symbol}`),
          h('span', {}, `${sentence(error ?? '')} Trying again; live trades will show as they come.`),
          h('button', { type: 'button', class: 'action', onclick: retry }, 'Try now'),
        );
      } else {
        element.replaceChildren(
          h('strong', {}, `No bars of ${symbol} yet`),
          h('span', {}, `Nothing is stored for ${symbol}. Check the spelling; if it trades, the first candle appears with the first trade that sets a price.`),
        );
      }
    },
  };
}

function sentence(text: string): string {
  const first = text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
