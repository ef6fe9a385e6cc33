import { VivariumError } from '../errors/errors.ts';
import { Conflict } from './sql-database.ts';
import { type StoreErrorOptions, storeError } from './store-errors.ts';

/** Five letters and digits, of errors that the server has reported. */
export function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && 'severity' in Object(error)
    ? code
    : undefined;
}

/** `08`: of connections. `57P`: the server stops, has crashed or starts. `25P03`, `57P05`: it didn't hear from us for too long. */
const lostStates = /^(08...|57P0[1-5]|25P03)$/;

/** The connection is of no more use: what its transaction was about is not known from this. */
export function isLost(error: unknown): boolean {
  if (error instanceof VivariumError) return false;
  const state = sqlState(error);
  return state === undefined ? isOfConnection(error) : lostStates.test(state);
}

/** Of `pg` and of sockets; anything else without a state is a fault of ours. */
function isOfConnection(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof TypeError || error instanceof RangeError) return false;
  if ('syscall' in error) return true;
  return /connection|timeout|terminated|not queryable/i.test(error.message);
}

/**
 * May go well when tried again: conflicts that the server has ended (`40`), locks that were waited for too long, a server without room for
 * another connection, or one that only reads, as after a failover to another one.
 */
export function isPassing(error: unknown): boolean {
  const state = sqlState(error);
  return isLost(error) || (state !== undefined && /^(40001|40P01|55P03|53300|25006)$/.test(state));
}

/** Whatever failed, as an `InternalError` `store`; ours as they are. `where`: the server and database, without secrets. */
export function postgresError(
  error: unknown,
  where: string,
  {
    stored = 'no',
    tries = 1,
    forMs = 0,
  }: { stored?: StoreErrorOptions['stored']; tries?: number; forMs?: number } = {},
): Error {
  if (error instanceof VivariumError) return error;
  const text = error instanceof Error ? error.message || String(Object(error).code) : String(error);
  const state = sqlState(error);
  const options = { cause: error, stored, details: { sqlState: state ?? null, tries } };
  if (stored === 'unknown' || isLost(error)) {
    const effort = `after ${tries} tries in ${(forMs / 1000).toFixed(1)} s`;
    return storeError('unreachable', `${where} can't be reached: ${text} (${effort}).`, options);
  }
  if (state === '53100') return storeError('full', `${where} has no room: ${text}.`, options);
  if (state === '55P03' || state === '40P01' || error instanceof Conflict)
    return storeError('locked', `${where} was too busy: ${text}.`, options);
  if (state?.startsWith('XX') === true)
    return storeError('damaged', `${where} is damaged: ${text}. Restore it from a backup.`, options);
  if (state !== undefined) return storeError('refused', `${where} has refused: ${text}.`, options);
  return error instanceof Error ? error : new Error(text);
}
