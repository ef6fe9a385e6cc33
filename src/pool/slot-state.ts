import { InternalError } from '../errors/errors.ts';
import type { RunMessage } from '../protocol/messages.ts';

export type After = RunMessage['after'];

// ---- types ---------------------------------------------------------------------------------------------------------

/**
 * `clean`: the kernel is as its image, or will be when a session has given it back; false once a run with `after: 'none'` has entered it.
 * `held`: it's a session's. `resting`: between the session's calls.
 */
export type SlotState =
  | { readonly name: 'booting' }
  | { readonly name: 'idle'; readonly clean: boolean }
  | { readonly name: 'held'; readonly resting: boolean; readonly clean: true }
  | { readonly name: 'running'; readonly after: After; readonly clean: boolean }
  | { readonly name: 'rewinding'; readonly clean: boolean; readonly held: boolean }
  | { readonly name: 'dying' }
  | { readonly name: 'dead' };

export type SlotAction =
  | { readonly type: 'booted' }
  | { readonly type: 'start'; readonly after: After }
  | { readonly type: 'finished' }
  | { readonly type: 'rewound' }
  | { readonly type: 'hold' }
  | { readonly type: 'rest' }
  | { readonly type: 'use' }
  | { readonly type: 'release' }
  | { readonly type: 'end' }
  | { readonly type: 'exited' };

// ---- transitions ---------------------------------------------------------------------------------------------------

export const initialSlotState: SlotState = { name: 'booting' };

/** The next state. An illegal action is a bug of the pool: throws `internal`. */
export function transition(state: SlotState, action: SlotAction): SlotState {
  switch (action.type) {
    case 'booted':
      if (state.name === 'booting') return { name: 'idle', clean: true };
      break;
    case 'start':
      if (state.name === 'held' && !state.resting && action.after === 'hold')
        return { name: 'running', after: 'hold', clean: true };
      // A run that expects a clean interpreter must never see what a stateful one left.
      if (state.name === 'idle' && action.after !== 'hold' && (state.clean || action.after === 'none'))
        return { name: 'running', after: action.after, clean: state.clean && action.after !== 'none' };
      break;
    case 'finished':
      if (state.name !== 'running') break;
      if (state.after === 'discard') return { name: 'dying' };
      return { name: 'rewinding', clean: state.clean, held: state.after === 'hold' };
    case 'rewound':
      if (state.name !== 'rewinding') break;
      return state.held
        ? { name: 'held', resting: false, clean: true }
        : { name: 'idle', clean: state.clean };
    case 'hold':
      if (state.name === 'idle' && state.clean) return { name: 'held', resting: false, clean: true };
      break;
    case 'rest':
    case 'use':
      if (state.name === 'held') return { ...state, resting: action.type === 'rest' };
      break;
    case 'release':
      if (state.name === 'held') return { name: 'rewinding', clean: true, held: false };
      break;
    case 'end':
      if (state.name !== 'dying' && state.name !== 'dead') return { name: 'dying' };
      break;
    case 'exited':
      if (state.name !== 'dead') return { name: 'dead' };
      break;
    default:
      action satisfies never;
  }
  throw new InternalError('internal', `A worker that is ${state.name} can't take '${action.type}'.`);
}

/** Whether the place can answer: booted and not on its way out. */
export function isLive(state: SlotState): boolean {
  return state.name !== 'booting' && state.name !== 'dying' && state.name !== 'dead';
}

/** Whether a session has it. */
export function isHeld(state: SlotState): boolean {
  if (state.name === 'running') return state.after === 'hold';
  return state.name === 'held' || (state.name === 'rewinding' && state.held);
}
