import type * as Sqlite from 'node:sqlite';

/**
 * `node:sqlite`, without the warning that it is experimental, which Node prints on first use up to some 24.x: users can't do anything
 * about it. Only what is emitted during this one synchronous call is looked at. Remove when no supported Node prints it.
 */
export function loadSqlite(): typeof Sqlite {
  const { emitWarning } = process;
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    if (/SQLite is an experimental feature/.test(String(warning))) return;
    Reflect.apply(emitWarning, process, [warning, ...rest]);
  };
  try {
    return process.getBuiltinModule('node:sqlite');
  } finally {
    process.emitWarning = emitWarning;
  }
}
