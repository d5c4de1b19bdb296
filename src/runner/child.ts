/** The file that is forked for every run, and for questions of the editor. */

import { answer } from './answer.js';
import { execute } from './execute.js';
import { serve } from './serve.js';

serve({ execute, answer });
