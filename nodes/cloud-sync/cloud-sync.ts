import type { NodeAPI } from 'node-red';
import { registerRunNode } from '../runtime.js';
import { addDryRunRoutes } from './dry-run.js';

export = (RED: NodeAPI): void => {
  registerRunNode(RED, 'cloud-sync', 'sync', {
    encryptionPassword: { type: 'password' },
    encryptionSalt: { type: 'password' },
  });
  addDryRunRoutes(RED);
};
