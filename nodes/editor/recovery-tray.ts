/** The recovery sheet: a configuration of rclone that brings the backup back without Node-RED, to print and keep. */

import type { TypedCredential } from './api.js';
import { type Problem, post, sentence } from './api.js';
import { element, t } from './text.js';

export interface SheetInput {
  credential: TypedCredential;
  /** Id of the task, for what is stored. */
  task: string;
  name: string;
  bucket: string;
  folder: string;
  encryption: boolean;
  filenameEncryption: boolean;
  encryptionPassword: string;
  encryptionSalt: string;
}

function sheetText(name: string, config: string, remote: string): string {
  const intro = t('sheet.intro', { name, remote })
    .split('\n')
    .map((line) => `# ${line}`.trimEnd());
  return `${intro.join('\n')}\n\n${config}`;
}

function print(text: string): void {
  const page = window.open('', '_blank');
  if (page === null) return;
  const sheet = page.document.createElement('pre');
  sheet.textContent = text;
  sheet.style.whiteSpace = 'pre-wrap';
  sheet.style.overflowWrap = 'anywhere';
  page.document.title = t('sheet.title');
  page.document.body.append(sheet);
  page.print();
}

function save(text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = 'recovery-rclone.conf';
  link.click();
  URL.revokeObjectURL(address);
}

/** Asks for the sheet and shows it over the dialog; `complain` says what is missing. */
export async function openRecoverySheet(input: SheetInput, complain: (text: string) => void): Promise<void> {
  const { name, ...body } = input;
  let text: string;
  try {
    const { config, remote } = await post<{ config: string; remote: string }>('recovery-sheet', body);
    text = sheetText(name, config, remote);
  } catch (problem) {
    complain(sentence(problem as Problem));
    return;
  }
  RED.tray.show({
    title: t('sheet.title'),
    width: 640,
    buttons: [
      { id: 'cloud-sync-sheet-close', text: t('sheet.close'), click: () => RED.tray.close() },
      { id: 'cloud-sync-sheet-save', text: t('sheet.save'), click: () => save(text) },
      { id: 'cloud-sync-sheet-print', text: t('sheet.print'), class: 'primary', click: () => print(text) },
    ],
    open: (tray) => {
      tray
        .find('.red-ui-tray-body')
        .append(
          element('div', 'cloud-sync-tray').append(
            element('div', 'cloud-sync-hint cloud-sync-warning', t('sheet.warning')),
            element('pre', 'cloud-sync-sheet', text).attr('tabindex', 0),
          ),
        );
    },
  });
}
