/** A small graph with axes: what a number was over the last minutes. The pointer, or the arrow keys, tell what it was when. */
import { time } from '../core/format';
import { h, setAttribute, setText } from './dom';

const HEIGHT = 64;
const LEFT = 44;
const BOTTOM = 14;
const TOP = 6;

export interface Graph {
  readonly element: HTMLElement;
  /** Draws `values` over `times` (Unix milliseconds), oldest first; `null` where nothing was reported. */
  draw(times: readonly number[], values: readonly (number | null)[], colours: GraphColours): void;
}

export interface GraphColours {
  readonly line: string;
  readonly text: string;
  readonly grid: string;
}

/** `name` is what a screen reader says; `format` writes a value with its unit, `mark` as short as the axis needs it. */
export function graph(name: string, format: (value: number) => string, mark: (value: number) => string): Graph {
  const canvas = h('canvas', { class: 'graph', role: 'img', tabindex: '0', 'aria-label': name });
  const tip = h('div', { class: 'graph-tip', hidden: true });
  const element = h('div', { class: 'graph-box' }, canvas, tip);
  let shown: { times: readonly number[]; values: readonly (number | null)[]; colours: GraphColours } | null = null;
  let at: number | null = null;

  const place = (index: number, width: number) => {
    const times = shown?.times ?? [];
    const [first, last] = [times[0] ?? 0, times[times.length - 1] ?? 0];
    return LEFT + (last === first ? 0 : (((times[index] ?? first) - first) / (last - first)) * (width - LEFT - 6));
  };

  const paint = () => {
    const context = canvas.getContext('2d');
    const width = canvas.clientWidth;
    if (shown === null || context === null || width === 0) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    if (canvas.width !== Math.round(width * ratio)) [canvas.width, canvas.height] = [Math.round(width * ratio), HEIGHT * ratio];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, HEIGHT);
    const { times, values, colours } = shown;
    const known = values.filter((value) => value !== null);
    const top = Math.max(...known, 0) || 1;
    const y = (value: number) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
    context.font = '10px system-ui, sans-serif';
    context.fillStyle = colours.text;
    context.strokeStyle = colours.grid;
    context.textAlign = 'right';
    for (const value of known.length === 0 ? [] : [0, top]) {
      context.fillText(mark(value), LEFT - 5, y(value) + 3);
      context.beginPath();
      context.moveTo(LEFT, Math.round(y(value)) + 0.5);
      context.lineTo(width - 6, Math.round(y(value)) + 0.5);
      context.stroke();
    }
    const [first, last] = [times[0], times[times.length - 1]];
    if (first !== undefined && last !== undefined && last > first) {
      context.textAlign = 'left';
      context.fillText(time(first, 'second'), LEFT, HEIGHT - 2);
      context.textAlign = 'right';
      context.fillText(time(last, 'second'), width - 6, HEIGHT - 2);
    }
    context.strokeStyle = colours.line;
    context.lineWidth = 1.4;
    context.beginPath();
    let drawing = false;
    for (const [index, value] of values.entries()) {
      if (value === null) drawing = false;
      else if (drawing) context.lineTo(place(index, width), y(value));
      else {
        context.moveTo(place(index, width), y(value));
        drawing = true;
      }
    }
    context.stroke();
    const pointed = at === null ? null : (values[at] ?? null);
    tip.hidden = at === null;
    if (at === null) return;
    setText(tip, `${time(times[at] ?? 0, 'second')}: ${pointed === null ? 'not reported' : format(pointed)}`);
    tip.style.left = `${Math.min(Math.max(place(at, width), 50), width - 50)}px`;
    if (pointed === null) return;
    context.fillStyle = colours.line;
    context.beginPath();
    context.arc(place(at, width), y(pointed), 3, 0, 7);
    context.fill();
  };

  const point = (index: number | null) => {
    at = index === null || shown === null || shown.values.length === 0 ? null : Math.min(Math.max(index, 0), shown.values.length - 1);
    paint();
  };
  canvas.addEventListener('pointermove', (event) => {
    const count = shown?.values.length ?? 0;
    let nearest: number | null = null;
    for (let index = 0; index < count; index += 1) {
      if (nearest === null || Math.abs(place(index, canvas.clientWidth) - event.offsetX) < Math.abs(place(nearest, canvas.clientWidth) - event.offsetX)) nearest = index;
    }
    point(nearest);
  });
  canvas.addEventListener('pointerleave', () => point(null));
  canvas.addEventListener('blur', () => point(null));
  canvas.addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    event.preventDefault();
    event.stopPropagation();
    point((at ?? shown?.values.length ?? 0) + (event.key === 'ArrowRight' ? 1 : -1));
  });
  return {
    element,
    draw(times, values, colours) {
      shown = { times, values, colours };
      if (at !== null && at >= values.length) at = null;
      const known = values.filter((value) => value !== null);
      const range = known.length === 0 ? 'nothing reported yet' : `from ${format(Math.min(...known))} to ${format(Math.max(...known))} in the last minutes`;
      setAttribute(canvas, 'aria-label', `${name}: ${range}`);
      paint();
    },
  };
}
