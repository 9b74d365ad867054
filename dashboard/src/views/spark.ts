/** A line of recent prices, small enough for a table row. */

const WIDTH = 64;
const HEIGHT = 20;

export function sparkCanvas(): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  canvas.width = WIDTH * ratio;
  canvas.height = HEIGHT * ratio;
  canvas.style.width = `${WIDTH}px`;
  canvas.style.height = `${HEIGHT}px`;
  canvas.setAttribute('aria-hidden', 'true');
  return canvas;
}

/** Draws `values`, oldest first, in `colour`. */
export function drawSpark(canvas: HTMLCanvasElement, values: readonly number[], colour: string): void {
  const context = canvas.getContext('2d');
  if (context === null) return;
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  if (values.length < 2) return;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const scale = high === low ? 0 : (height - 4) / (high - low);
  context.beginPath();
  for (const [index, value] of values.entries()) {
    const x = (index / (values.length - 1)) * (width - 2) + 1;
    const y = scale === 0 ? height / 2 : height - 2 - (value - low) * scale;
    if (index === 0) context.moveTo(x, y);
    else context.lineTo(x, y);
  }
  context.strokeStyle = colour;
  context.lineWidth = 1.25 * (width / WIDTH);
  context.lineJoin = 'round';
  context.stroke();
}
