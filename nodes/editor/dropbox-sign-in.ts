/** Signing in to Dropbox from the dialog: a page to agree on, a code to bring back, and the refresh token is there. */

import { type Problem, post, sentence } from './api.js';
import { button, element, icon, t } from './text.js';

export interface SignInFields {
  appKey: JQuery;
  endpoint: JQuery;
  caCertificate: JQuery;
  refreshToken: JQuery;
  accessToken: JQuery;
}

/** The row with the button, to be put below the app key. `onDone` is called with the token in place. */
export function dropboxSignIn(fields: SignInFields, onDone: () => void): JQuery {
  const row = element('div', 'form-row cloud-sync-sign-in');
  const steps = element('div').attr({ role: 'status', 'aria-live': 'polite' });
  const complain = (problem: unknown) => {
    steps.find('.cloud-sync-bad').remove();
    steps.append(element('div', 'cloud-sync-hint cloud-sync-bad', sentence(problem as Problem)));
  };

  const finish = async (id: string, code: string) => {
    try {
      const { refreshToken } = await post<{ refreshToken: string }>('dropbox/sign-in/finish', { id, code });
      fields.refreshToken.val(refreshToken).trigger('change');
      fields.accessToken.val('').trigger('change');
      steps
        .empty()
        .append(
          element('div', 'cloud-sync-hint cloud-sync-good').append(
            icon('check'),
            ` ${t('dropbox.signedIn')}`,
          ),
        );
      onDone();
    } catch (problem) {
      complain(problem);
    }
  };

  const begin = async () => {
    steps.empty();
    try {
      const { id, url } = await post<{ id: string; url: string }>('dropbox/sign-in', {
        appKey: String(fields.appKey.val()).trim(),
        endpoint: String(fields.endpoint.val()).trim(),
        caCertificate: String(fields.caCertificate.val()),
      });
      const link = element('a', '', t('dropbox.open')).attr({
        href: url,
        target: '_blank',
        rel: 'noopener noreferrer',
      });
      const code = element('input').attr({
        type: 'text',
        id: 'cloud-sync-dropbox-code',
        placeholder: t('dropbox.code'),
        'aria-label': t('dropbox.code'),
        autocomplete: 'off',
        spellcheck: 'false',
      });
      const hand = () => void finish(id, String(code.val()).trim());
      code.on('keydown', (event) => {
        if (event.key !== 'Enter') return;
        event.preventDefault();
        hand();
      });
      steps.append(
        element('ol', 'cloud-sync-steps').append(
          element('li').append(link, ` ${t('dropbox.agree')}`),
          element('li').append(
            document.createTextNode(t('dropbox.paste')),
            element('div', 'cloud-sync-with-button').append(code, button(t('dropbox.use'), 'check', hand)),
          ),
        ),
      );
      window.open(url, '_blank', 'noopener,noreferrer');
      code.trigger('focus');
    } catch (problem) {
      complain(problem);
    }
  };

  const press = button(t('dropbox.signIn'), 'dropbox', () => void begin()).attr('id', 'cloud-sync-dropbox');
  return row.append(element('span'), element('div').append(press, steps));
}
