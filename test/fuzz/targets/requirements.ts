/** What people ask for: a letter for the form, then the text. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InstallError } from '../../../src/errors/errors.ts';
import { requirementName, wheelParts } from '../../../src/packages/names.ts';
import { checkPython } from '../../../src/packages/python-version.ts';
import {
  checkRequirement,
  projectRequirements,
  readRequirements,
  scriptMetadata,
} from '../../../src/packages/requirements.ts';
import { bytesOf, ensure, refusable, refusableLater, textOf } from '../target.ts';

const dir = mkdtempSync(join(tmpdir(), 'vivarium-fuzz-'));
/** For test runners, whose processes don't come to their end. */
export const close = (): void => rmSync(dir, { recursive: true, force: true });
process.on('exit', close);
const file = join(dir, 'requirements.txt');

export const sources: readonly string[] = ['requirements', 'names', 'python-version'].map(
  (name) => `packages/${name}.ts`,
);
export const maxBytes = 524_288;
export const seeds: readonly Uint8Array[] = [
  'rnumpy>=2,!=2.1 ; python_version > "3"',
  'rrequests[socks, x] @ https://u.test/requests-2.0-py3-none-any.whl#sha256=00',
  'rhttps://u.test/a_b-1.0-1-py3-none-any.whl',
  'wmy.pkg-1.0+x-1-cp314-cp314-pyemscripten_2026_0_wasm32.whl',
  'f# a comment\n-r requirements.txt\nnumpy \\\n >=2 --hash=sha256:00 # why\n\n--index-url x\n',
  'fnumpy==1\r\npandas # \u2028 x\n-e .\n-c x\n--pre\n',
  'p[project]\nname = "x"\ndependencies = ["numpy", \'a>=1\']\n[project.optional-dependencies]\ndev = ["b"]\n"D.e-v" = []\n',
  'p[[project]]\na.b.c = {x = 1, y = [1, [2.5, 1979-05-27T07:32:00Z]]}\n"__proto__".x = """\\u0041\n"""\nz = 0x1F\n',
  's# /// script\n# requires-python = ">=3.11,<4"\n# dependencies = [\n#   "numpy",\n# ]\n# ///\nprint(1)\n',
  's# /// other\n# x\n# ///\n# /// script\n# ///\n',
  'v>=3.12, <4, !=3.13.*, ~=3.14.0, ===3.14.2, ==3.14.2rc1.dev2',
].map(bytesOf);
export const dictionary: readonly string[] = [
  ...[
    'numpy',
    '>=',
    '==',
    '~=',
    '!=',
    '===',
    '; ',
    ' @ ',
    'https://',
    'git+',
    '.whl',
    '[a]',
    '-r ',
    '-c',
    '-e',
    '--hash=',
    '--hash ',
  ],
  ...[
    '# /// script\n',
    '# /// a\n',
    '# ///\n',
    '#\n',
    '# ',
    '\\\n',
    '\r\n',
    '\u2028',
    '\ufeff',
    '.1',
    '.*',
    'rc1',
    '.dev1',
    ',',
  ],
  ...[
    '[project]\n',
    'dependencies = [',
    '"a"',
    "'''",
    '"""',
    '[[',
    ']]',
    '{',
    '}',
    '__proto__',
    'constructor',
    'a.',
    '= ',
    '\n',
  ],
  ...[
    '[project.optional-dependencies]\n',
    'requires-python = "',
    '1979-05-27',
    'inf',
    '\\u',
    '\\U',
    '-',
    '_',
    '@',
    ':',
    '1-',
  ],
];

export async function fuzz(data: Uint8Array): Promise<void> {
  const text = textOf(data.subarray(1));
  switch (String.fromCharCode(data[0] ?? 0)) {
    case 'f':
      writeFileSync(file, data.subarray(1));
      return checkAll(await refusableLater(() => readRequirements(file), InstallError));
    case 'p':
      for (const extras of [[], ['dev']])
        checkAll(refusable(() => projectRequirements(text, extras), InstallError));
      return;
    case 's': {
      const found = refusable(() => scriptMetadata(text), InstallError);
      checkAll(found?.dependencies);
      if (found?.requiresPython !== undefined) version(found.requiresPython);
      return;
    }
    case 'v':
      return version(text);
    case 'w': {
      const parts = wheelParts(text);
      ensure(parts === undefined || /^[a-z0-9-]+$/.test(parts.name), `a name that is none: ${parts?.name}`);
      ensure(parts === undefined || !/[/\\\0]/.test(text), 'a separator in the name of a wheel');
      return;
    }
    default:
      checkAll(refusable(() => [checkRequirement(text)], InstallError));
  }
}

function version(text: string): void {
  refusable(() => checkPython(text, '3.14.2', 'x'), InstallError);
}

function checkAll(found: readonly string[] | undefined): void {
  for (const one of found ?? []) {
    ensure(checkRequirement(one) === one, `is another when checked again: ${JSON.stringify(one)}`);
    ensure(!/[\0\r\n]/.test(one), 'more than one line');
    ensure(
      /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(requirementName(one) ?? ''),
      `no name: ${JSON.stringify(one)}`,
    );
  }
}
