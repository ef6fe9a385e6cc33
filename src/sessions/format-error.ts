/** Bytes that are no manifest or no session: cut, altered or too new. Whose fault that is depends on where they come from. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
}
