import { VivariumError } from '../errors/errors.ts';
import { isDiskError } from '../util/disk-error.ts';
import { Conflict } from './sql-database.ts';
import { type StoreErrorOptions, storeError } from './store-errors.ts';

/** SQLite's result code without its extension; undefined for other errors. */
function codeOf(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
    ? error.errcode & 0xff
    : undefined;
}

const [busy, locked, readOnly, ioError, corrupt, full, cantOpen, notADatabase] = [
  5, 6, 8, 10, 11, 13, 14, 26,
];

/** Another connection has it for now. */
export function isBusy(error: unknown): boolean {
  const code = codeOf(error);
  return code === busy || code === locked;
}

export function isFull(error: unknown): boolean {
  return codeOf(error) === full;
}

/** Whatever SQLite or the file system threw, as an `InternalError` `store`; ours as they are. */
export function sqliteError(
  error: unknown,
  folder: string,
  stored: NonNullable<StoreErrorOptions['stored']> = 'no',
): Error {
  if (error instanceof VivariumError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const options = { cause: error, stored };
  // Nobody does anything at the same time: an index must be wrong.
  if (error instanceof Conflict) return damagedError(folder, text, options);
  if (isDiskError(error)) {
    return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(error.code ?? '')
      ? fullError(folder, text, options)
      : storeError('disk', `the store in ${folder} can't be written to or read: ${text}.`, options);
  }
  switch (codeOf(error)) {
    case undefined:
      return error instanceof Error ? error : new Error(text);
    case full:
      return fullError(folder, text, options);
    case busy:
    case locked:
      return storeError('locked', `other processes have held the store in ${folder} for too long.`, options);
    case corrupt:
    case notADatabase:
      return damagedError(folder, text, options);
    case readOnly:
    case cantOpen:
    case ioError:
      return storeError(
        'disk',
        `the database in ${folder} can't be written to or read: ${text}. See to the disk, its room and its rights.`,
        options,
      );
    default:
      // Of a schema that can't be read SQLite has only words.
      return /malformed|unsupported file format|no such (table|column)/.test(text)
        ? damagedError(folder, text, options)
        : storeError('refused', `the database in ${folder} refused: ${text}.`, options);
  }
}

function fullError(folder: string, text: string, options: StoreErrorOptions): Error {
  return storeError('full', `the disk of ${folder} is full (${text}): make room, and try again.`, options);
}

function damagedError(folder: string, text: string, options: StoreErrorOptions): Error {
  const way = 'Restore the folder from a backup; or move it away to begin anew, without its sessions.';
  return storeError('damaged', `the database in ${folder} is damaged (${text}). ${way}`, options);
}
