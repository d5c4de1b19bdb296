/** The last runs as a picture: their bytes as bars, how long they took as a line. */

import type { RunReport } from '../../src/engine/report.js';
import { formatBytes, formatSeconds } from '../status.js';
import { element, t } from './text.js';

const MOST_RUNS = 20;
const WIDTH = 240;
const HEIGHT = 40;
/** Room above the highest bar, so that a dot on it isn't cut off. */
const TOP = 4;
const SVG = 'http://www.w3.org/2000/svg';

function svg(tag: string, attributes: Record<string, string | number>): SVGElement {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

function titled(shape: SVGElement, text: string): SVGElement {
  const title = svg('title', {});
  title.textContent = text;
  shape.append(title);
  return shape;
}

function legend(className: string, text: string): JQuery {
  return element('span', 'cloud-sync-muted').append(element('i', className), ` ${text}`);
}

/** `runs`: newest first. The picture has the oldest at its left. */
export function runChart(runs: readonly RunReport[]): JQuery {
  const shown = runs.slice(0, MOST_RUNS).toReversed();
  const mostBytes = Math.max(1, ...shown.map((run) => run.transferred.bytes));
  const longest = Math.max(1, ...shown.map((run) => run.durationMs));
  const most = { most: formatBytes(mostBytes), longest: formatSeconds(longest / 1000) };
  const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', class: 'cloud-sync-chart' });
  picture.setAttribute('aria-label', t('history.chart', { count: shown.length, ...most }));
  const step = WIDTH / MOST_RUNS;
  const heightOf = (share: number) => Math.max(2, share * (HEIGHT - TOP));
  const points = shown.map((run, index) => ({
    run,
    words: `${new Date(run.startedAt).toLocaleString()}: ${formatBytes(run.transferred.bytes)}, ${formatSeconds(run.durationMs / 1000)}`,
    x: (index + 0.5) * step,
    y: HEIGHT - heightOf(run.durationMs / longest),
  }));
  for (const { run, words, x } of points) {
    const height = heightOf(run.transferred.bytes / mostBytes);
    const size = { x: x - step / 2 + 1, y: HEIGHT - height, width: step - 2, height, rx: 1 };
    picture.append(titled(svg('rect', { ...size, class: `cloud-sync-chart-${run.status}` }), words));
  }
  picture.append(svg('polyline', { points: points.map(({ x, y }) => `${x},${y}`).join(' ') }));
  for (const { words, x, y } of points) picture.append(titled(svg('circle', { cx: x, cy: y, r: 2 }), words));
  return element('div', 'cloud-sync-chart-box').append(
    picture as unknown as HTMLElement,
    element('div', 'cloud-sync-chart-legend').append(
      legend('cloud-sync-chart-bytes', t('history.bytes', most)),
      legend('cloud-sync-chart-time', t('history.duration', most)),
    ),
  );
}
