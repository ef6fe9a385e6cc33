/**
 * What `runtime.ts` names and every platform has, but no ECMAScript library: enough to compile the neutral entries
 * without the types of Node or the DOM, with which it merges where they are present.
 */
interface AbortSignal {
  readonly aborted: boolean;
}
