/**
 * What every store promises in `src/stores/store.ts`, as tests. A provider's own test file calls
 * {@link conformanceSuite} with a function that makes an empty store; the suite looks only at the store's `features`,
 * never at which provider it is.
 */

import { contentTests } from './content.js';
import { deletingTests } from './deleting.js';
import { listingTests } from './listing.js';
import { namesTests } from './names.js';
import { readingTests } from './reading.js';
import { signalTests } from './signals.js';
import type { MakeStore } from './support.js';
import { Subject } from './support.js';
import { uploadTests } from './uploads.js';
import { versionTests } from './versions.js';

export type { MakeStore, MakeStoreOptions, StoreUnderTest } from './support.js';

/**
 * Declares the suite as a mocha `describe` block.
 *
 * @param name How this store is called in the test report.
 * @param makeStore Makes an empty store; it is called twice, the second time with `versioned: true` where the store
 *   says `features.versions`.
 */
export function conformanceSuite(name: string, makeStore: MakeStore): void {
  describe(`store conformance: ${name}`, function () {
    this.timeout(60_000);
    const subject = new Subject();
    before(async () => subject.start(await makeStore({})));
    after(() => subject.stop());

    namesTests(subject);
    contentTests(subject);
    readingTests(subject);
    uploadTests(subject);
    deletingTests(subject);
    listingTests(subject);
    signalTests(subject);
    versionTests(subject, makeStore);
  });
}
