/**
 * Where the host may be led by somebody else's word: to addresses of the public internet only. A name says nothing, so what is
 * checked is the address that the socket connects to.
 */
import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/** IANA's registry of special-purpose IPv4 addresses, and what is no single host. */
const specialIpv4: readonly (readonly [network: string, prefix: number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];

/** Of IPv6 only global unicast is public; what is mapped, local, or another kind of address lies outside of it. */
const globalIpv6 = new BlockList();
globalIpv6.addSubnet('2000::', 3, 'ipv6');
globalIpv6.addSubnet('64:ff9b::', 96, 'ipv6');

const special = new BlockList();
for (const [network, prefix] of specialIpv4) {
  special.addSubnet(network, prefix, 'ipv4');
  // NAT64 leads to the IPv4 address that is in it.
  special.addSubnet(`64:ff9b::${network}`, 96 + prefix, 'ipv6');
}
// Protocols' own, Teredo among them; 6to4; documentation.
for (const [network, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const) {
  special.addSubnet(network, prefix, 'ipv6');
}

/** Whether an IP address, without brackets, is one of the public internet. False for what is none. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !special.check(address, 'ipv4');
    case 6:
      // An address with a zone is a link's.
      return !address.includes('%') && globalIpv6.check(address, 'ipv6') && !special.check(address, 'ipv6');
    default:
      return false;
  }
}

/** The host of a URL, or an address that its name leads to, is not of the public internet. */
export class AddressError extends Error {
  override readonly name = 'AddressError';
}

/**
 * For the `lookup` of a socket: resolves a name once, and lets through the addresses that are public. Those it hands over are those
 * that are connected to, so a name that leads elsewhere the next time leads nowhere. Fails with `AddressError` when none is left.
 */
export function publicLookup(lookup: LookupFunction = systemLookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error) return callback(error, []);
      const all: LookupAddress[] = Array.isArray(found) ? found : [{ address: found, family: isIP(found) }];
      const [first, ...rest] = all.filter(({ address }) => isPublicAddress(address));
      if (first === undefined) callback(new AddressError(`${hostname} leads to no public address`), []);
      else if (options.all) callback(null, [first, ...rest]);
      else callback(null, first.address, first.family);
    });
  };
}

/** Throws `AddressError` for a host that is written as an address: sockets look such a one up nowhere. Others are left to `publicLookup`. */
export function checkHost({ hostname }: URL): void {
  const host = hostname.replace(/^\[|\]$/g, '');
  // Also where a proxy resolves names.
  const isLocalName = /(^|\.)localhost\.?$/.test(host);
  if (isLocalName || (isIP(host) !== 0 && !isPublicAddress(host)))
    throw new AddressError(`${host} is no public address`);
}
