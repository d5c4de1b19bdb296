/** 'As of' of a restore: now, as one of the task's runs has left the backup, or any other moment. */

import type { RunReport } from '../../src/engine/report.js';
import { get } from './api.js';
import { reportLine } from './run-words.js';
import { element, t } from './text.js';

/** How the backup was between two runs. */
export interface PastState {
  /** ISO time in the middle of the two, so that a clock of the provider that is a little off does no harm. */
  asOf: string;
  /** That has left it so. */
  run: RunReport;
}

function wrote({ dryRun, operation, status }: RunReport): boolean {
  return operation === 'sync' && !dryRun && status !== 'skipped';
}

/** What can be told from `runs`, newest first; the newest state of all is the one of now. */
export function pastStates(runs: readonly RunReport[]): PastState[] {
  const real = runs.filter(wrote);
  return real.flatMap((run, index) => {
    const later = real[index - 1];
    if (later === undefined || (run.transferred.files === 0 && run.deleted === 0)) return [];
    const middle = (Date.parse(run.finishedAt) + Date.parse(later.startedAt)) / 2;
    return [{ asOf: new Date(middle).toISOString(), run }];
  });
}

/** A choice and, for any other moment, a field. */
export class MomentChoice {
  readonly root = element('div');
  private readonly select = element('select').attr('id', 'cloud-sync-restore-state');
  private readonly other = element('input').attr({
    type: 'datetime-local',
    step: 1,
    id: 'cloud-sync-restore-asof',
    'aria-label': t('restore.moment'),
  });

  constructor(taskId: string, onChange: () => void) {
    const option = (value: string, label: string) =>
      element('option', '', label).attr('value', value).appendTo(this.select);
    option('', t('restore.present'));
    const last = option('other', t('restore.otherMoment'));
    get<{ runs: RunReport[] }>(`tasks/${taskId}/runs`).then(
      ({ runs }) => {
        for (const { asOf, run } of pastStates(runs)) {
          const when = new Date(run.finishedAt).toLocaleString(undefined, {
            dateStyle: 'medium',
            timeStyle: 'short',
          });
          option(asOf, t('restore.afterRun', { when, what: reportLine('success', run) })).insertBefore(last);
        }
      },
      // Any moment can still be typed.
      () => undefined,
    );
    this.root.append(this.select, this.other.hide());
    this.select.on('change', () => {
      this.other.toggle(this.select.val() === 'other');
      onChange();
    });
    this.other.on('change', onChange);
  }

  /** ISO time; '' for now; undefined while it is still to be typed. */
  get moment(): string | undefined {
    const chosen = String(this.select.val());
    if (chosen !== 'other') return chosen;
    const typed = String(this.other.val());
    return typed === '' ? undefined : new Date(typed).toISOString();
  }
}
