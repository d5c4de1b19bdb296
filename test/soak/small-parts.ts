/** A store that cuts small files into smaller parts, so that resuming can be tested without gigabytes. */

import type { Store, StoreFeatures } from '../../src/stores/store.js';

/**
 * @param threshold bytes from which on uploads are made in parts
 * @param partSize bytes; undefined: the store's own
 */
export function withSmallParts(store: Store, threshold: number, partSize?: number): Store {
  const features: StoreFeatures = {
    ...store.features,
    upload: { ...store.features.upload, threshold },
  };
  const members: Partial<Store> = {
    features,
    async createUpload(key, size, options) {
      const upload = await store.createUpload(key, size, options);
      if (partSize === undefined) return upload;
      // The size of parts is in the state alone: the upload goes on as if it had been begun with this one.
      return await store.resumeUpload({ ...upload.state, partSize }, options);
    },
  };
  return new Proxy(store, {
    get(target, name) {
      if (Object.hasOwn(members, name)) return Reflect.get(members, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
