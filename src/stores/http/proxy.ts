/** Which proxy a request goes through, by the variables everybody knows: HTTPS_PROXY, HTTP_PROXY, NO_PROXY. */

/** Environment variables, names in either case; lower case wins, as with curl. */
export type ProxyEnvironment = Record<string, string | undefined>;

/**
 * The proxy for `origin`, or undefined to connect directly.
 *
 * NO_PROXY is a list of host names separated by commas or spaces: a name covers itself and its subdomains, a leading
 * dot or `*.` is ignored, `host:port` covers that port alone, `*` covers everything. HTTP_PROXY in upper case is
 * honoured too: this is no CGI program.
 */
export function proxyFor(origin: URL, environment: ProxyEnvironment = process.env): URL | undefined {
  const read = (name: string) => environment[name.toLowerCase()] || environment[name] || '';
  const proxy = origin.protocol === 'https:' ? read('HTTPS_PROXY') : read('HTTP_PROXY');
  const chosen = proxy || read('ALL_PROXY');
  if (chosen === '' || isExcluded(origin, read('NO_PROXY'))) return undefined;
  return new URL(/^[a-z0-9]+:\/\//i.test(chosen) ? chosen : `http://${chosen}`);
}

function isExcluded(origin: URL, noProxy: string): boolean {
  const host = origin.hostname.toLowerCase();
  const port = origin.port || (origin.protocol === 'https:' ? '443' : '80');
  return noProxy.split(/[,\s]+/).some((entry) => {
    if (entry === '*') return true;
    const parts = /^(.*?)(?::(\d+))?$/.exec(entry.toLowerCase());
    const name = (parts?.[1] ?? '').replace(/^\*?\./, '');
    if (name === '' || (parts?.[2] !== undefined && parts[2] !== port)) return false;
    return host === name || host.endsWith(`.${name}`);
  });
}
