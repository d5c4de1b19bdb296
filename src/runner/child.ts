/** The file that is forked for every run, and for questions of the editor. */

import { setFlagsFromString } from 'node:v8';
import { answer } from './answer.js';
import { execute } from './execute.js';
import { serve } from './serve.js';

/**
 * A run does the same few things for every file, so V8 may compile them sooner than after 3,000 calls: a sixth less CPU
 * time of 10,000 small files. A V8 without this flag says so and goes on.
 */
setFlagsFromString('--invocation-count-for-turbofan=400');
/** Small files share memory 64 KiB at a time instead of having some made for each. */
Buffer.poolSize = 64 * 1024;

serve({ execute, answer });
