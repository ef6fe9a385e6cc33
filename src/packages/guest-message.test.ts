import { homedir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { InstallError, type InstallReason } from '../errors/errors.ts';
import { forGuest } from './guest-message.ts';
import { resolveSources } from './sources.ts';

const cacheDir = '/var/cache/our vivarium';
const folder = { cacheDir, sources: resolveSources({ mirror: '/srv/our wheels' }, {}) };
const web = { cacheDir, sources: resolveSources({ mirror: 'https://me:secret@wheels.corp:8443/py' }, {}) };

function told(message: string, host: typeof folder = folder): InstallError {
  const failure = { reason: 'disk' as InstallReason, package: 'six', suggestion: message, url: message };
  return forGuest(new InstallError(message, failure, new Error('inner')), host);
}

test.each([
  [
    `six is not installed: ENOSPC: no space left on device, write '${cacheDir}/wheels/ab/x.tmp'`,
    "six is not installed: ENOSPC: no space left on device, write '<cache>'",
  ],
  [
    'six: the mirror /srv/our wheels has no six.whl; put six.whl there',
    'six: the mirror <mirror> has no six.whl; put six.whl there',
  ],
  [`${join(homedir(), 'x', 'y.json')} can't be read`, "<home> can't be read"],
  [
    "six: https://files.corp/a/b/six-1.0-py3-none-any.whl can't be fetched: ECONNREFUSED",
    "six: six-1.0-py3-none-any.whl can't be fetched: ECONNREFUSED",
  ],
  ["http://10.0.0.7:8080/simple/six/ can't be fetched", "<address> can't be fetched"],
  ['name https://a.corp, or http://b.corp.', 'name <address>, or <address>.'],
  ['six has no wheel that this interpreter can load', 'six has no wheel that this interpreter can load'],
])('%j', (message, expected) => {
  const error = told(message);
  expect(error.message).toBe(expected);
  expect(error.details).toEqual({ reason: 'disk', package: 'six', suggestion: expected });
  // The operator has all of it.
  expect(error.cause).toMatchObject({ message, details: { url: message } });
});

test('a mirror on the web', () => {
  expect(told('six: the mirror https://wheels.corp:8443/py/ has no six.whl', web).message).toBe(
    'six: the mirror <mirror> has no six.whl',
  );
});

test('is cut', () => {
  expect(told('x'.repeat(1e6)).message).toHaveLength(20_000);
});
