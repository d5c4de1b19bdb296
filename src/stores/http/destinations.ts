/**
 * Addresses that no request goes to, whatever endpoint was typed, whatever a name stands for and wherever a server sends
 * us on: those at which clouds hand out the keys of their machines, and the link-local networks they lie in. This machine
 * and private networks are no such addresses: at home the storage is there.
 */

import { lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { CloudSyncError } from '../../errors.js';

const REFUSED = new BlockList();
REFUSED.addSubnet('169.254.0.0', 16, 'ipv4');
// Oracle's, Alibaba's and Azure's own, outside of the link-local network.
for (const address of ['192.0.0.192', '100.100.100.200', '168.63.129.16'])
  REFUSED.addAddress(address, 'ipv4');
REFUSED.addSubnet('fe80::', 10, 'ipv6');
// Amazon's.
REFUSED.addAddress('fd00:ec2::254', 'ipv6');
// IPv4 within IPv6: NAT64 (RFC 6052) and the old compatible form; BlockList itself looks into the mapped one (::ffff:).
for (const prefix of ['64:ff9b::', '::']) {
  REFUSED.addSubnet(`${prefix}a9fe:0`, 112, 'ipv6');
  for (const address of ['c000:c0', '6464:64c8', 'a83f:8110']) REFUSED.addAddress(prefix + address, 'ipv6');
}

/** Whether no request goes there. `address` without brackets, as URLs and resolvers write it. */
export function isRefusedAddress(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && REFUSED.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

function refusal(host: string): CloudSyncError {
  return new CloudSyncError(
    'INVALID_INPUT',
    `${host} is a link-local address, at which no storage is asked`,
    {
      field: 'endpoint',
      advice: 'Write the address of the storage; those of this machine and of private networks can be used.',
    },
  );
}

/** @throws INVALID_INPUT where the host of `origin` is such an address; names are looked at when they are resolved */
export function confirmDestination(origin: URL): void {
  // `URL` has brought other spellings (decimal, octal, hexadecimal) into the usual one.
  const host = origin.hostname.replace(/^\[|\]$/g, '');
  if (isRefusedAddress(host)) throw refusal(host);
}

/**
 * Resolves names as `resolve` does, without the addresses no request goes to. Names under `.localhost` are this machine
 * (RFC 6761, 6.3); not every resolver knows.
 */
export function lookupDestination(resolve: typeof lookup = lookup): LookupFunction {
  return (hostname, options, callback) => {
    const name = hostname.endsWith('.localhost') ? 'localhost' : hostname;
    resolve(name, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '', 0);
      const usable = addresses.filter(({ address }) => !isRefusedAddress(address));
      if (usable.length === 0) callback(refusal(`${hostname} (${addresses[0]?.address})`), '', 0);
      else if (options.all === true) callback(null, usable);
      else callback(null, usable[0]!.address, usable[0]!.family);
    });
  };
}
