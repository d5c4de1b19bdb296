/** What a folded section of the dialog of cloud-sync holds, in a few words. */

import { typePropertyOf } from '../typed-inputs.js';
import { field, isTicked } from './form-fields.js';
import { readBandwidth, readPatterns } from './lists.js';
import { scheduleSummary } from './schedule-form.js';
import { count, t } from './text.js';

function isTyped(name: string): boolean {
  return !['', 'str'].includes(String(field(typePropertyOf(name)).val() ?? ''));
}

export const TASK_SUMMARIES: Record<string, () => string> = {
  schedule: () => scheduleSummary(String(field('schedule').val()), isTicked('enabled')),
  filters: () => {
    if (isTyped('include') || isTyped('exclude')) return t('typed.fromFlow');
    const excluded = readPatterns($('#cloud-sync-exclude')).length;
    const included = readPatterns($('#cloud-sync-include')).length;
    const parts = [];
    if (excluded > 0) parts.push(t('summary.excluded', { count: excluded }));
    if (included > 0) parts.push(t('summary.included', { count: included }));
    return parts.join(' · ') || t('summary.allFiles');
  },
  safety: () => {
    const limit = String(field('maxDelete').val()).trim();
    const parts = [limit === '' ? t('summary.noLimit') : t('summary.maxDelete', { limit })];
    if (field('transferMode').val() === 'copy') parts.splice(0, 1, t('summary.neverDeletes'));
    if (field('backupFolder').val() !== '') parts.push(t('summary.keepsReplaced'));
    if (isTicked('dryRun')) parts.push(t('summary.dryRun'));
    return parts.join(' · ');
  },
  transfer: () => {
    const transfers = String(field('transfers').val());
    const rows = readBandwidth($('#cloud-sync-bandwidth')).length;
    const parts = [transfers === '' ? t('summary.automatic') : count('transfer', Number(transfers))];
    if (isTyped('bandwidthLimit')) parts.push(t('typed.fromFlow'));
    else parts.push(rows === 0 ? t('summary.fullSpeed') : t('summary.limited'));
    return parts.join(' · ');
  },
  encryption: () => {
    if (!isTicked('encryption')) return t('summary.off');
    return t(isTicked('filenameEncryption') ? 'summary.contentAndNames' : 'summary.content');
  },
  advanced: () => {
    const parts = [];
    for (const name of ['storageClass', 'serverSideEncryption'])
      if (field(name).val()) parts.push(field(name).val());
    if (isTicked('snapshot')) parts.push(t('summary.snapshot'));
    if (field('preScript').val() || field('postScript').val()) parts.push(t('summary.scripts'));
    return parts.join(' · ');
  },
};
