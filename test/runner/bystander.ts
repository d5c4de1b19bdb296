/** A process that has nothing to do with any run, and does what other flows do. See other-flows.ts. */

import { type Noticed, otherFlows } from './other-flows.js';

let end: (() => Promise<Noticed>) | undefined;

process.on('message', (message) => {
  if (message === 'begin') end = otherFlows();
  else void end?.().then((noticed) => process.send?.(noticed));
});
process.send?.('ready');
