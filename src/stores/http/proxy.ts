/** Which proxy a request goes through, by the variables everybody knows: HTTPS_PROXY, HTTP_PROXY, NO_PROXY. */

import { BlockList, isIP } from 'node:net';
import { CloudSyncError } from '../../errors.js';

/** Environment variables, names in either case; lower case wins, as with curl. */
export type ProxyEnvironment = Record<string, string | undefined>;

/**
 * The proxy for `origin`, or undefined to connect directly.
 *
 * NO_PROXY is a list of host names separated by commas or spaces: a name covers itself and its subdomains, a leading
 * dot or `*.` is ignored, `host:port` covers that port alone, `192.168.0.0/16` the addresses of a network, `*` everything. HTTP_PROXY in upper case is
 * honoured too: this is no CGI program.
 */
export function proxyFor(origin: URL, environment: ProxyEnvironment = process.env): URL | undefined {
  const read = (name: string) => environment[name.toLowerCase()] || environment[name] || '';
  const proxy = origin.protocol === 'https:' ? read('HTTPS_PROXY') : read('HTTP_PROXY');
  const chosen = proxy || read('ALL_PROXY');
  if (chosen === '' || isExcluded(origin, read('NO_PROXY'))) return undefined;
  try {
    const url = new URL(/^[a-z0-9]+:\/\//i.test(chosen) ? chosen : `http://${chosen}`);
    if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  } catch {
    // Said below. The text itself may hold a password.
  }
  throw new CloudSyncError(
    'INVALID_INPUT',
    "The proxy in this machine's environment is not an http address",
    {
      advice: 'Write HTTPS_PROXY, HTTP_PROXY or ALL_PROXY as in http://proxy:3128.',
    },
  );
}

function isExcluded(origin: URL, noProxy: string): boolean {
  const host = origin.hostname.toLowerCase().replace(/^\[|\]$/g, '');
  const port = origin.port || (origin.protocol === 'https:' ? '443' : '80');
  return noProxy.split(/[,\s]+/).some((entry) => {
    if (entry === '*') return true;
    if (entry.includes('/')) return isInNetwork(host, entry);
    const { name, onlyPort } = parseEntry(entry.toLowerCase());
    if (name === '' || (onlyPort !== undefined && onlyPort !== port)) return false;
    return host === name || host.endsWith(`.${name}`);
  });
}

/** `name`, `name:port`, `[::1]:port`, or an IPv6 address without brackets, which has no port. */
function parseEntry(entry: string): { name: string; onlyPort?: string } {
  const bracketed = /^\[([^\]]*)\](?::(\d+))?$/.exec(entry);
  const parts = bracketed ?? (isIP(entry) === 6 ? [entry, entry] : /^(.*?)(?::(\d+))?$/.exec(entry));
  const name = (parts?.[1] ?? '').replace(/^\*?\./, '');
  return parts?.[2] === undefined ? { name } : { name, onlyPort: parts[2] };
}

/** Whether `host` is an address within `network`, as in `192.168.0.0/16`. */
function isInNetwork(host: string, network: string): boolean {
  const family = isIP(host);
  const [address = '', bits = ''] = network.split('/');
  if (family === 0 || isIP(address) !== family || !/^\d{1,3}$/.test(bits)) return false;
  try {
    const kind = family === 4 ? 'ipv4' : 'ipv6';
    const list = new BlockList();
    list.addSubnet(address, Number(bits), kind);
    return list.check(host, kind);
  } catch {
    return false;
  }
}
