import type { NodeAPI } from 'node-red';
import { registerRunNode } from '../runtime.js';

export = (RED: NodeAPI): void => registerRunNode(RED, 'cloud-restore', 'restore');
