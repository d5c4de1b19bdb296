/** The schedule: presets, cron text, and when it would run next. */

import { nextRuns } from '../../src/runner/schedule.js';
import { get } from './api.js';
import { element, t } from './text.js';

const PRESETS: Readonly<Record<string, string>> = {
  none: '',
  hourly: '0 * * * *',
  daily: '0 3 * * *',
  weekly: '0 3 * * 0',
  monthly: '0 3 1 * *',
};

/** Time zone of the machine Node-RED runs on, asked once. */
let askedTimeZone: Promise<string> | undefined;

function serverTimeZone(): Promise<string> {
  askedTimeZone ??= get<{ timeZone: string }>('tasks').then(
    (answer) => answer.timeZone,
    () => Intl.DateTimeFormat().resolvedOptions().timeZone,
  );
  return askedTimeZone;
}

function presetOf(schedule: string): string {
  return Object.entries(PRESETS).find(([, text]) => text === schedule.trim())?.[0] ?? 'custom';
}

/** The next three runs, or undefined where the text is no schedule. */
function runsAhead(schedule: string, timeZone: string): Date[] | undefined {
  try {
    return nextRuns(schedule, 3, new Date(), { timeZone });
  } catch {
    return undefined;
  }
}

export function scheduleSummary(schedule: string, enabled: boolean): string {
  if (schedule.trim() === '') return t('schedule.onlyMessages');
  const preset = presetOf(schedule);
  const text = preset === 'custom' ? schedule : t(`schedule.preset.${preset}`);
  return enabled ? text : `${text} · ${t('summary.off')}`;
}

/** The moment of a run as clocks show it in `timeZone`; undefined: the browser's. */
export function runText(moment: Date, timeZone: string | undefined): string {
  return moment.toLocaleString(undefined, {
    timeZone,
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
  });
}

async function showNextRuns(line: JQuery, schedule: string): Promise<void> {
  if (schedule.trim() === '') {
    line.text(t('schedule.none'));
    return;
  }
  const zone = await serverTimeZone();
  const runs = runsAhead(schedule, zone);
  line.toggleClass('cloud-sync-bad', runs === undefined);
  if (runs === undefined) {
    line.text(t('schedule.wrong'));
    return;
  }
  const times = runs.map((run) => runText(run, zone)).join(' · ');
  line.text(`${t('schedule.next')} ${times} (${zone})`);
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (
    new Date().toLocaleString('en', { timeZone: zone }) !==
    new Date().toLocaleString('en', { timeZone: here })
  ) {
    line.append(element('div', 'cloud-sync-warning', t('schedule.otherZone', { zone: here })));
  }
}

export function prepareSchedule(form: JQuery): void {
  const input = $('#node-input-schedule');
  const select = form.find('#cloud-sync-preset');
  for (const name of [...Object.keys(PRESETS), 'custom']) {
    select.append(element('option', '', t(`schedule.preset.${name}`)).attr('value', name));
  }
  const show = () => {
    const preset = presetOf(String(input.val()));
    input.toggle(select.val() === 'custom' || preset === 'custom');
    void showNextRuns(form.find('.cloud-sync-next-runs'), String(input.val()));
  };
  select.val(presetOf(String(input.val())));
  select.on('change', () => {
    const text = PRESETS[String(select.val())];
    if (text !== undefined) input.val(text).trigger('change');
    else input.trigger('focus');
    show();
  });
  input.on('input change', show);
  show();
}
