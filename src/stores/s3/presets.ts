/**
 * S3 services by name: where they are, how they want to be addressed, and in what they differ from Amazon's. Data only: a
 * service that isn't here works too, with its endpoint typed. What the user fills in goes before what stands here.
 *
 * A service is also recognised by its host name where no preset was chosen, so that its differences are known then too.
 */

import { CloudSyncError } from '../../errors.js';
import type { CredentialConfig } from '../store.js';
import { AMAZON_TRAITS, type S3Traits } from './traits.js';

const MIB = 1024 * 1024;

export interface S3Preset {
  /** `preset` in saved flows. */
  id: string;
  label: string;
  /** Its address; `{region}` stands for the region the user has to give. Undefined: the user types the endpoint. */
  endpoint?: string;
  /** How a typed endpoint looks. */
  endpointExample?: string;
  /** Signed for where the user gives none. */
  region?: string;
  /** Its host names; the first group is the region. */
  hosts?: RegExp;
  traits?: Partial<S3Traits>;
  /** Where each of these facts comes from. */
  sources: readonly string[];
}

export const S3_PRESETS: readonly S3Preset[] = [
  { id: 'amazon', label: 'Amazon S3', sources: ['Amazon S3 User Guide and API Reference'] },
  {
    id: 'backblaze-b2',
    label: 'Backblaze B2 (S3 API)',
    endpoint: 'https://s3.{region}.backblazeb2.com',
    hosts: /^s3\.([a-z0-9-]+)\.backblazeb2\.com$/,
    traits: {
      conditionalWrites: false,
      partSize: 96 * MIB,
      uploadThreshold: 96 * MIB,
      timePrecision: 1_000_000n,
      b2Metadata: true,
    },
    sources: [
      'https://www.backblaze.com/docs/cloud-storage-call-the-s3-compatible-api (endpoint; path and host style)',
      'https://github.com/sathinduga/obsidian-s3-sync-and-backup/issues/78 (501 for If-Match and If-None-Match of PutObject)',
      'https://www.backblaze.com/docs/cloud-storage-create-large-files-with-the-native-api (parts of 100 MB recommended)',
    ],
  },
  {
    id: 'ceph',
    label: 'Ceph Object Gateway',
    endpointExample: 'https://rgw.example.org',
    sources: [
      'https://docs.ceph.com/en/latest/radosgw/s3/ (versions, multipart uploads)',
      'Ceph 16.2, looked at: conditions of PUT are obeyed, those of copies and completed uploads ignored',
    ],
  },
  {
    id: 'cloudflare-r2',
    label: 'Cloudflare R2',
    endpointExample: 'https://ACCOUNT_ID.r2.cloudflarestorage.com',
    region: 'auto',
    hosts: /^[0-9a-f]+(?:\.(?:eu|us|fedramp))?\.r2\.cloudflarestorage\.com$/,
    traits: { versions: false, multipartEtag: false },
    sources: [
      'https://developers.cloudflare.com/r2/api/s3/api/ (endpoint; region `auto`; no ListObjectVersions)',
      'https://developers.cloudflare.com/r2/api/s3/extensions/ (conditional PutObject)',
      'https://developers.cloudflare.com/r2/objects/upload-objects/ (5 MiB to 5 GiB, 10,000 parts; all of one size but the last, which ours always are)',
      "rclone's backend/s3/provider/Cloudflare.yaml (ETags of multipart objects are no MD5 of MD5s)",
    ],
  },
  {
    id: 'digitalocean-spaces',
    label: 'DigitalOcean Spaces',
    endpoint: 'https://{region}.digitaloceanspaces.com',
    hosts: /^([a-z0-9]+)\.digitaloceanspaces\.com$/,
    traits: { conditionalWrites: false },
    sources: [
      'https://docs.digitalocean.com/products/spaces/reference/s3-compatibility/ (endpoint; versions; multipart; nothing on conditional writes)',
    ],
  },
  {
    id: 'garage',
    label: 'Garage',
    endpointExample: 'http://127.0.0.1:3900',
    region: 'garage',
    traits: { versions: false, conditionalWrites: false },
    sources: [
      'https://garagehq.deuxfleurs.fr/documentation/connect/ (region `garage`, path style, port 3900)',
      'https://garagehq.deuxfleurs.fr/documentation/reference-manual/s3-compatibility/ (no versions)',
      'https://hex.pm/packages/livery_s3/0.2.0/files/CHANGELOG.md (conditional writes are ignored)',
    ],
  },
  {
    id: 'hetzner',
    label: 'Hetzner Object Storage',
    endpoint: 'https://{region}.your-objectstorage.com',
    hosts: /^([a-z0-9]+)\.your-objectstorage\.com$/,
    traits: { conditionalWrites: false },
    sources: [
      'https://docs.hetzner.com/storage/object-storage/supported-actions/ (SSE-C only; nothing on conditional writes)',
      "rclone's backend/s3/provider/Hetzner.yaml (endpoints)",
    ],
  },
  {
    id: 'idrive-e2',
    label: 'IDrive e2',
    endpointExample: 'https://l4g4.ch11.idrivee2-2.com',
    hosts: /\.idrivee2(?:-\d+)?\.com$/,
    traits: { conditionalWrites: false },
    sources: ["rclone's documentation, S3, IDrive e2 (endpoint of the account; path style)"],
  },
  {
    id: 'minio',
    label: 'MinIO',
    endpointExample: 'https://minio.example.org:9000',
    sources: [
      'https://docs.min.io/enterprise/aistor-object-store/developers/s3-api-compatibility (conditions of PutObject, CopyObject, DeleteObject)',
    ],
  },
  {
    id: 'ovhcloud',
    label: 'OVHcloud Object Storage',
    endpoint: 'https://s3.{region}.io.cloud.ovh.net',
    hosts: /^s3\.([a-z0-9-]+)\.io\.cloud\.ovh\.(?:net|us)$/,
    traits: { conditionalWrites: false },
    sources: [
      "rclone's backend/s3/provider/OVHcloud.yaml (endpoints)",
      "OVHcloud's documentation, Object Storage, Getting started with versioning",
    ],
  },
  {
    id: 'scaleway',
    label: 'Scaleway Object Storage',
    endpoint: 'https://s3.{region}.scw.cloud',
    hosts: /^s3\.([a-z]+-[a-z]+)\.scw\.cloud$/,
    traits: { maxUploadParts: 1000 },
    sources: [
      'https://www.scaleway.com/en/docs/object-storage/api-cli/multipart-uploads/ (endpoint; 1 to 1000 parts)',
      'https://www.scaleway.com/en/docs/object-storage/api-cli/using-conditional-writes/ (If-Match, If-None-Match)',
    ],
  },
  {
    id: 'seaweedfs',
    label: 'SeaweedFS',
    endpointExample: 'http://127.0.0.1:8333',
    // Newer releases keep versions and obey conditions, older ones don't: what is certain everywhere is assumed.
    traits: { multipartEtag: false, conditionalWrites: false },
    sources: [
      "rclone's backend/s3/provider/SeaweedFS.yaml (port 8333; path style; ETags of multipart objects)",
    ],
  },
  {
    id: 'storj',
    label: 'Storj',
    endpoint: 'https://gateway.storjshare.io',
    hosts: /^gateway(?:\.[a-z0-9]+)?\.storjshare\.io$/,
    traits: {
      order: 'none',
      conditionalWrites: false,
      copiesInParts: false,
      partSize: 64 * MIB,
      uploadThreshold: 64 * MIB,
    },
    sources: [
      'https://storj.dev/dcs/buckets/object-listings (listings are ordered by encrypted names)',
      "rclone's backend/s3/provider/Storj.yaml (parts of 64 MiB; no UploadPartCopy, single copies of any size)",
    ],
  },
  {
    id: 'wasabi',
    label: 'Wasabi',
    endpoint: 'https://s3.{region}.wasabisys.com',
    hosts: /^s3(?:\.([a-z0-9-]+))?\.wasabisys\.com$/,
    traits: { conditionalWrites: false },
    sources: [
      'https://docs.wasabi.com/docs/service-urls-for-wasabis-storage-regions (endpoints)',
      'https://docs.wasabi.com/apidocs/wasabi-api (versions; nothing on conditional writes)',
    ],
  },
];

/** For the field `preset` of a credential. */
export const PRESET_CHOICES = S3_PRESETS.map(({ id, label }) => ({ value: id, label }));

/** What of a credential says where an S3 service is, the preset filled in. */
export interface ServiceAddress {
  /** '': Amazon's own. */
  endpoint: string;
  /** Undefined: none is set. */
  region: string | undefined;
}

/**
 * Endpoint and region of a credential, from what was typed, else from its preset.
 *
 * Throws INVALID_INPUT where the preset needs something that wasn't typed: without its endpoint, the key would go to
 * Amazon.
 */
export function serviceAddress(config: CredentialConfig): ServiceAddress {
  const preset = chosenPreset(config);
  const typedRegion = textOf(config.region);
  const endpoint = textOf(config.endpoint) || endpointOf(preset, typedRegion);
  const region = typedRegion || presetOf(config)?.region || regionInHost(endpoint);
  return { endpoint, region: region || undefined };
}

/** In what the service of this credential differs, by its preset or its host name; the user's own fields go first. */
export function traitsOf(config: CredentialConfig): S3Traits {
  const traits = { ...AMAZON_TRAITS, ...presetOf(config)?.traits };
  const parts = Number(config.maxUploadParts);
  const isUsable = Number.isInteger(parts) && parts >= 1 && parts <= AMAZON_TRAITS.maxUploadParts;
  return isUsable ? { ...traits, maxUploadParts: parts } : traits;
}

/** In what the service of a preset differs, whatever a credential says. */
export function presetTraits(id: string): S3Traits {
  return { ...AMAZON_TRAITS, ...S3_PRESETS.find((preset) => preset.id === id)?.traits };
}

/** The preset that was chosen, or the one the endpoint's host name belongs to. */
export function presetOf(config: CredentialConfig): S3Preset | undefined {
  const chosen = chosenPreset(config);
  if (chosen !== undefined && chosen.id !== 'amazon') return chosen;
  const host = hostOf(textOf(config.endpoint));
  return S3_PRESETS.find(({ hosts }) => hosts?.test(host) === true) ?? chosen;
}

function chosenPreset(config: CredentialConfig): S3Preset | undefined {
  const id = textOf(config.preset);
  if (id === '') return undefined;
  const preset = S3_PRESETS.find((candidate) => candidate.id === id);
  if (preset !== undefined) return preset;
  throw new CloudSyncError('INVALID_INPUT', `There is no preset "${id}"`, {
    field: 'preset',
    advice: `Choose one of ${S3_PRESETS.map((candidate) => candidate.id).join(', ')}, or none.`,
  });
}

function endpointOf(preset: S3Preset | undefined, region: string): string {
  if (preset === undefined || preset.id === 'amazon') return '';
  if (preset.endpoint === undefined) {
    throw new CloudSyncError('INVALID_INPUT', `The endpoint of ${preset.label} is missing`, {
      field: 'endpoint',
      advice: `Type the address of your server, as in ${preset.endpointExample}.`,
    });
  }
  if (preset.endpoint.includes('{region}') && region === '') {
    throw new CloudSyncError('INVALID_INPUT', `${preset.label} needs the region of your bucket`, {
      field: 'region',
      advice: 'The provider shows it with the bucket; it becomes part of the address.',
    });
  }
  if (region !== '' && !/^[A-Za-z0-9-]{1,63}$/.test(region)) {
    throw new CloudSyncError('INVALID_INPUT', `"${region}" is no region`, {
      field: 'region',
      advice: 'Write it as in eu-central-1.',
    });
  }
  return preset.endpoint.replace('{region}', region);
}

function regionInHost(endpoint: string): string {
  const host = hostOf(endpoint);
  for (const { hosts } of S3_PRESETS) {
    const match = hosts?.exec(host);
    if (match) return match[1] ?? '';
  }
  return '';
}

function hostOf(endpoint: string): string {
  return endpoint
    .replace(/^[a-z]+:\/\//i, '')
    .replace(/[/:].*$/, '')
    .toLowerCase();
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.trim() : '';
}
