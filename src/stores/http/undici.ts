/** The parts of undici that are used, without its index, which loads fetch, WebSocket and caches too. */

import connect from 'undici/lib/api/api-connect.js';
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
import Pool from 'undici/lib/dispatcher/pool.js';
import ProxyAgent from 'undici/lib/dispatcher/proxy-agent.js';

// The index gives all dispatchers this method; the proxy agent opens its tunnels with it.
Dispatcher.prototype.connect ??= connect;

export { Pool, ProxyAgent };
