import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { describe, expect, test } from 'vitest';
import { AddressError, checkHost, isPublicAddress, publicLookup } from './public-address.ts';

test.each([
  '1.1.1.1',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.1',
  '169.253.255.255',
  '172.15.255.255',
  '172.32.0.0',
  '192.167.255.255',
  '192.169.0.0',
  '198.17.255.255',
  '223.255.255.255',
  '2606:4700::1111',
  '2a00:1450::1',
  // NAT64: 8.8.8.8.
  '64:ff9b::808:808',
])('%s is public', (address) => {
  expect(isPublicAddress(address)).toBe(true);
});

test.each([
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.255',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::127.0.0.1',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::ffff:8.8.8.8',
  '64:ff9b::127.0.0.1',
  '64:ff9b::a00:1',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:db8::1',
  '2002:7f00:1::',
  '3fff::1',
  'fc00::1',
  'fd00:ec2::254',
  'fe80::1',
  'fe80::1%eth0',
  '2606:4700::1111%eth0',
  'fec0::1',
  'ff02::1',
  '',
  'localhost',
  '[::1]',
  '127.1',
  '2130706433',
])('%j is not', (address) => {
  expect(isPublicAddress(address)).toBe(false);
});

test.each([
  'http://127.0.0.1/',
  'http://127.1/',
  'http://2130706433/',
  'http://0x7f000001/',
  'http://0x7f.1/',
  'http://0177.0.0.1/',
  'http://127.0.0.1./',
  'http://１２７。0。0。1/',
  'http://0/',
  'http://[::1]/',
  'http://[0:0:0:0:0:0:0:1]/',
  'http://[::ffff:7f00:1]/',
  'http://169.254.169.254/latest/',
  'https://LOCALHOST/',
  'https://localhost./',
  'https://db.localhost/',
])('%s is refused before anything is looked up', (url) => {
  expect(() => checkHost(new URL(url))).toThrow(AddressError);
});

test('other names are left to the lookup', () => {
  for (const url of [
    'https://python.org/',
    'https://1.1.1.1/',
    'https://[2606:4700::1]/',
    'https://localhost.example/',
  ])
    expect(() => checkHost(new URL(url))).not.toThrow();
});

describe('the lookup of a socket', () => {
  function resolver(...answers: string[][]): LookupFunction & { asked: string[] } {
    const asked: string[] = [];
    const lookup: LookupFunction = (name, options, callback) => {
      asked.push(name);
      expect(options.all).toBe(true);
      const found = answers[asked.length - 1] ?? [];
      callback(
        null,
        found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
    };
    return Object.assign(lookup, { asked });
  }

  function look(lookup: LookupFunction, all: boolean): Promise<string | LookupAddress[]> {
    const { promise, resolve, reject } = Promise.withResolvers<string | LookupAddress[]>();
    lookup('name.example', { all }, (error, found) => (error ? reject(error) : resolve(found)));
    return promise;
  }

  test('hands over what it checked, and asks once', async () => {
    const system = resolver(['1.1.1.1', '10.0.0.1', '2606:4700::1']);
    expect(await look(publicLookup(system), true)).toEqual([
      { address: '1.1.1.1', family: 4 },
      { address: '2606:4700::1', family: 6 },
    ]);
    expect(system.asked).toEqual(['name.example']);
    expect(await look(publicLookup(resolver(['127.0.0.1', '1.1.1.1'])), false)).toBe('1.1.1.1');
  });

  test('a name that leads elsewhere the next time leads nowhere', async () => {
    const lookup = publicLookup(resolver(['1.1.1.1'], ['127.0.0.1']));
    expect(await look(lookup, false)).toBe('1.1.1.1');
    await expect(look(lookup, false)).rejects.toThrow(AddressError);
  });

  test.each([[[]], [['127.0.0.1', '::1']], [['169.254.169.254']]])('%j: nothing', async (found) => {
    for (const all of [true, false])
      await expect(look(publicLookup(resolver(found)), all)).rejects.toThrow(AddressError);
  });

  test('what fails, fails', async () => {
    const failing: LookupFunction = (_name, _options, callback) => callback(new Error('ENOTFOUND'), []);
    await expect(look(publicLookup(failing), true)).rejects.toThrow('ENOTFOUND');
  });
});
