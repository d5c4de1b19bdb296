import { MEMORY_FEATURES, openMemoryStore } from '../../src/stores/memory.js';
import type { StoreFeatures } from '../../src/stores/store.js';
import { conformanceSuite } from './suite.js';

function suiteWith(name: string, features: Partial<StoreFeatures>): void {
  conformanceSuite(name, async ({ versioned = false }) => {
    const archiveClasses = ['GLACIER'];
    const store = openMemoryStore({ features, versioned, archiveClasses });
    return {
      store,
      reopen: () => store.reopen(),
      missing: () => openMemoryStore({ features, missing: true }),
      archive: { storageClass: 'GLACIER', finishThaw: async (key) => store.finishThaw(key) },
      dispose: async () => {},
    };
  });
}

suiteWith('memory', {});

suiteWith('memory, as a provider that can do little', {
  order: 'none',
  hashes: [],
  caseSensitive: false,
  normalizationSensitive: false,
  modificationTime: { precision: 1_000_000_000n, inListing: false, change: 'none' },
  versions: false,
  conditionalWrite: false,
  conditionalDelete: false,
  serverSideCopy: false,
  folders: 'none',
  names: {
    encoding: ['Slash', 'BackSlash', 'Del', 'RightSpace', 'InvalidUtf8', 'Dot'],
    maxSegmentBytes: 255,
  },
  upload: { ...MEMORY_FEATURES.upload, sequential: true, maxParallelParts: 1 },
});
