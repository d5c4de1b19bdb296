/** Lists of rows in a dialog: filter patterns, and the bandwidth timetable. */

import { parseBandwidthTimetable } from '../../src/engine/bandwidth-timetable.js';
import type { BandwidthLimit } from '../../src/runner/task.js';
import { problemOf, TASK_PROPERTIES } from '../properties.js';
import { element, t } from './text.js';

/** What an editable list is shown in. */
export function listBox(list: JQuery): JQuery {
  return list.closest('.red-ui-editableList');
}

/** Turns `list` into an editable list of patterns; what can't be used is said below its row. */
export function patternList(
  list: JQuery,
  kind: 'include' | 'exclude',
  patterns: unknown,
  placeholder: string,
  onChange: () => void,
): void {
  list.editableList<{ pattern: string }>({
    addItem: (row, _index, value) => {
      const input = element('input').attr({ type: 'text', placeholder, spellcheck: 'false' });
      input.attr('aria-label', placeholder).val(value.pattern ?? '');
      const reason = element('div', 'cloud-sync-hint cloud-sync-bad').attr('role', 'alert');
      const check = () => {
        const problem = problemOf(TASK_PROPERTIES, kind, [String(input.val())]);
        input.toggleClass('input-error', problem !== undefined);
        reason.text(problem ?? '');
      };
      input.on('input change', () => {
        check();
        onChange();
      });
      row.append(input, reason);
      check();
      // A row that was just added wants to be typed into.
      if (value.pattern === undefined) setTimeout(() => input.trigger('focus'), 0);
    },
    removable: true,
    sortable: true,
    removeItem: onChange,
    height: 'auto',
    addButton: t('list.addPattern'),
  });
  for (const pattern of Array.isArray(patterns) ? patterns : []) list.editableList('addItem', { pattern });
}

export function readPatterns(list: JQuery): string[] {
  return list
    .editableList('items')
    .toArray()
    .map((row) => String($(row).find('input').val()))
    .filter((pattern) => pattern.trim() !== '');
}

const UNITS: ReadonlyArray<readonly [string, number]> = [
  ['MB/s', 1_000_000],
  ['kB/s', 1000],
];

/** Rows from rclone's own text, `08:00,512k 23:00,off`; undefined where it is something else. */
function pastedRows(text: string): BandwidthLimit[] | undefined {
  // A time or a speed alone is meant for the field it is pasted into.
  if (!text.includes(',')) return undefined;
  try {
    return parseBandwidthTimetable(text.trim());
  } catch {
    return undefined;
  }
}

/** Turns `list` into a timetable. Pasting rclone's text into a row fills the table. */
export function bandwidthList(list: JQuery, limits: unknown, onListChange: () => void): void {
  const reason = element('div', 'cloud-sync-hint cloud-sync-bad').attr('role', 'alert');
  const onChange = () => {
    reason.text(problemOf(TASK_PROPERTIES, 'bandwidthLimit', readBandwidth(list)) ?? '');
    onListChange();
  };
  const fill = (rows: BandwidthLimit[]) => {
    list.editableList('empty');
    for (const row of rows) list.editableList('addItem', row);
    onChange();
  };
  list.editableList<Partial<BandwidthLimit>>({
    addItem: (row, _index, value) => {
      const time = element('input').attr({ type: 'time', 'aria-label': t('list.from') });
      time.val(value.time ?? '08:00');
      const { number, unit } = inUnit(value.bandwidth ?? null);
      const speed = element('input').attr({
        type: 'text',
        inputmode: 'decimal',
        placeholder: t('list.unlimited'),
        'aria-label': t('list.speed'),
      });
      speed.val(number).addClass('cloud-sync-short');
      const units = element('select').attr('aria-label', t('list.unit'));
      for (const [label] of UNITS) units.append(element('option', '', label).attr('value', label));
      units.val(unit);
      row
        .addClass('cloud-sync-bandwidth-row')
        .append(element('span', '', t('list.from')), time, speed, units);
      row.find('input,select').on('input change', onChange);
      row.on('paste', (event) => {
        const pasted = (event.originalEvent as ClipboardEvent).clipboardData?.getData('text') ?? '';
        const rows = pastedRows(pasted);
        if (rows === undefined) return;
        event.preventDefault();
        fill(rows);
      });
    },
    removable: true,
    removeItem: onChange,
    height: 'auto',
    addButton: t('list.addTime'),
  });
  listBox(list).append(reason);
  for (const row of Array.isArray(limits) ? limits : []) list.editableList('addItem', row);
}

function inUnit(bandwidth: number | null): { number: string; unit: string } {
  if (bandwidth === null) return { number: '', unit: UNITS[0]![0] };
  const [unit, factor] = UNITS.find(([, bytes]) => bandwidth >= bytes) ?? UNITS.at(-1)!;
  return { number: String(Number((bandwidth / factor).toFixed(6))), unit };
}

/** Rows in time order. What is no number stays as it was typed, for the validation to name it. */
export function readBandwidth(list: JQuery): BandwidthLimit[] {
  const rows = list
    .editableList('items')
    .toArray()
    .map((row) => {
      const [time, speed] = $(row).find('input').toArray();
      const typed = String($(speed!).val()).trim().replace(',', '.');
      const factor = UNITS.find(([label]) => label === $(row).find('select').val())![1];
      const number = Number(typed);
      const bandwidth = typed === '' ? null : Number.isFinite(number) ? Math.round(number * factor) : typed;
      return { time: String($(time!).val()), bandwidth } as BandwidthLimit;
    });
  return rows.sort((one, other) => one.time.localeCompare(other.time));
}
