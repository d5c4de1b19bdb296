/** What an S3 service wants for endpoint and region, shown as soon as it is chosen. */

import { S3_PRESETS } from '../../src/stores/s3/presets.js';
import { t } from './text.js';

function hint(input: JQuery, text: string): void {
  input.closest('.form-row').find('.cloud-sync-hint').text(text);
}

/** Says which of the two fields `preset` needs, and the address that comes of them. */
export function showServiceHints(preset: JQuery, endpoint: JQuery, region: JQuery): void {
  const show = () => {
    const service = S3_PRESETS.find(({ id }) => id === preset.val());
    const typedRegion = String(region.val()).trim();
    const pattern = service?.endpoint;
    const needsRegion = pattern?.includes('{region}') === true;
    const address = pattern?.replace('{region}', typedRegion || `<${t('field.region.label')}>`);
    endpoint.attr(
      'placeholder',
      address ?? service?.endpointExample ?? (service === undefined ? t('field.endpoint.placeholder') : ''),
    );
    region.attr('placeholder', service?.region ?? t('field.region.placeholder'));
    if (address !== undefined) hint(endpoint, t('service.filledIn', { address }));
    else if (service?.endpointExample !== undefined) {
      hint(endpoint, t('service.endpointNeeded', { example: service.endpointExample }));
    } else hint(endpoint, t(service === undefined ? 'service.unknown' : 'service.amazon'));
    if (needsRegion) hint(region, t('service.regionNeeded'));
    else if (service?.region !== undefined) hint(region, t('service.regionIs', { region: service.region }));
    else hint(region, t('field.region.hint'));
  };
  preset.on('change', show);
  region.on('input', show);
  show();
}
