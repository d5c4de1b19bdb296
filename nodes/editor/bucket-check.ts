/** 'Test' of a bucket: writes, lists, reads and deletes a small file of our own, and says in words what works. */

import type { BucketReport, Finding } from '../../src/stores/verify-bucket.js';
import { type Problem, post, sentence, type TypedCredential } from './api.js';
import { element, icon, t } from './text.js';

/** The ones that people ask about; the rest is in the notes where it is missing. */
const SHOWN = ['list', 'read', 'write', 'delete', 'versions'] as const;

const LOOKS: Record<Finding, { className: string; iconName: string }> = {
  yes: { className: 'cloud-sync-good', iconName: 'check' },
  no: { className: 'cloud-sync-warning', iconName: 'times' },
  unknown: { className: 'cloud-sync-muted', iconName: 'question' },
};

function ability(name: string, finding: Finding): JQuery {
  const { className, iconName } = LOOKS[finding];
  const words = t(`bucket.${finding}`, { ability: t(`ability.${name}`) });
  return element('span', `cloud-sync-ability ${className}`)
    .attr('title', words)
    .append(icon(iconName), ` ${t(`ability.${name}`)}`);
}

function describe({ abilities, notes }: BucketReport): JQuery {
  const box = element('div');
  box.append(
    element('div', 'cloud-sync-abilities').append(...SHOWN.map((name) => ability(name, abilities[name]))),
  );
  for (const note of notes) box.append(element('div', '', note));
  return box;
}

/** Tries `bucket` and puts what came of it into `answer`. */
export async function checkBucket(
  answer: JQuery,
  credential: TypedCredential,
  bucket: string,
  folder = '',
): Promise<void> {
  answer.removeClass('cloud-sync-bad').empty();
  answer.append(icon('spinner fa-spin'), ` ${t('bucket.testing')}`);
  try {
    const report = await post<BucketReport>('buckets/check', { credential, bucket, folder });
    answer.empty().append(describe(report));
  } catch (problem) {
    answer
      .addClass('cloud-sync-bad')
      .empty()
      .append(icon('times'), ` ${sentence(problem as Problem)}`);
  }
}
