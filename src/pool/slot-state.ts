import { InternalError } from '../errors/errors.ts';
import type { RunMessage } from '../protocol/messages.ts';

export type After = RunMessage['after'];

// ---- types ---------------------------------------------------------------------------------------------------------

/** `clean`: the kernel is as its image; false once a run with `after: 'none'` has entered it. */
export type SlotState =
  | { readonly name: 'booting' }
  | { readonly name: 'idle'; readonly clean: boolean }
  | { readonly name: 'running'; readonly after: After; readonly clean: boolean }
  | { readonly name: 'rewinding'; readonly clean: boolean }
  | { readonly name: 'dying' }
  | { readonly name: 'dead' };

export type SlotAction =
  | { readonly type: 'booted' }
  | { readonly type: 'start'; readonly after: After }
  | { readonly type: 'finished' }
  | { readonly type: 'rewound' }
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
      // A run that expects a clean interpreter must never see what a stateful one left.
      if (state.name === 'idle' && (state.clean || action.after === 'none'))
        return { name: 'running', after: action.after, clean: state.clean && action.after !== 'none' };
      break;
    case 'finished':
      if (state.name === 'running')
        return state.after === 'discard' ? { name: 'dying' } : { name: 'rewinding', clean: state.clean };
      break;
    case 'rewound':
      if (state.name === 'rewinding') return { name: 'idle', clean: state.clean };
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
  return state.name === 'idle' || state.name === 'running' || state.name === 'rewinding';
}
