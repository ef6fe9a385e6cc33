import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type After,
  initialSlotState,
  isHeld,
  isLive,
  type SlotAction,
  type SlotState,
  transition,
} from './slot-state.ts';

/** What the machine is, told in another way: for each state the actions that it takes. */
const legal: Record<SlotState['name'], readonly SlotAction['type'][]> = {
  booting: ['booted', 'end', 'exited'],
  idle: ['start', 'hold', 'end', 'exited'],
  held: ['start', 'rest', 'use', 'release', 'end', 'exited'],
  running: ['finished', 'end', 'exited'],
  rewinding: ['rewound', 'end', 'exited'],
  dying: ['exited'],
  dead: [],
};

interface Model {
  name: SlotState['name'];
  /** Runs with `after: 'none'` so far. */
  stateful: number;
  /** A session has it. */
  held: boolean;
  resting: boolean;
}
interface Real {
  state: SlotState;
}

class Act implements fc.Command<Model, Real> {
  readonly action: SlotAction;

  constructor(action: SlotAction) {
    this.action = action;
  }

  check(): boolean {
    return true;
  }

  run(model: Model, real: Real): void {
    const { action } = this;
    const entering = action.type === 'start';
    const unclean = (action.type === 'hold' || (entering && action.after !== 'none')) && model.stateful > 0;
    const foreign =
      entering && (model.held ? action.after !== 'hold' || model.resting : action.after === 'hold');
    if (!legal[model.name].includes(action.type) || unclean || foreign) {
      expect(() => transition(real.state, action)).toThrow(expect.objectContaining({ code: 'internal' }));
      return;
    }
    const before = real.state;
    real.state = transition(before, action);
    if (action.type === 'start' && action.after === 'none') model.stateful++;
    if (action.type === 'hold') model.held = true;
    if (['release', 'end', 'exited'].includes(action.type)) model.held = false;
    model.resting = action.type === 'rest';
    model.name = real.state.name;

    if (action.type === 'exited') expect(real.state.name).toBe('dead');
    if (action.type === 'end') expect(real.state.name).toBe('dying');
    if (before.name === 'running' && action.type === 'finished')
      expect(real.state.name).toBe(before.after === 'discard' ? 'dying' : 'rewinding');
    if (real.state.name === 'idle') expect(real.state.clean).toBe(model.stateful === 0);
    if (action.type === 'rewound') expect(real.state.name).toBe(model.held ? 'held' : 'idle');
    if (real.state.name === 'held') expect(real.state.resting).toBe(model.resting);
    expect(isHeld(real.state)).toBe(model.held);
    expect(isLive(real.state)).toBe(['idle', 'held', 'running', 'rewinding'].includes(real.state.name));
  }

  toString(): string {
    return JSON.stringify(this.action);
  }
}

const actions = fc.oneof(
  fc
    .constantFrom<SlotAction['type'][]>('booted', 'finished', 'rewound')
    .map((type) => new Act({ type } as SlotAction)),
  fc
    .constantFrom<SlotAction['type'][]>('hold', 'rest', 'use', 'release')
    .map((type) => new Act({ type } as SlotAction)),
  fc
    .constantFrom<After[]>('rewind', 'none', 'discard', 'hold')
    .map((after) => new Act({ type: 'start', after })),
  // Ends are rare, so that lives are long.
  {
    arbitrary: fc
      .constantFrom<SlotAction['type'][]>('end', 'exited')
      .map((type) => new Act({ type } as SlotAction)),
    weight: 1,
  },
);

it('takes legal actions only, dies once, and is clean unless a stateful run has entered it', () => {
  fc.assert(
    fc.property(fc.commands([actions], { maxCommands: 60 }), (commands) => {
      fc.modelRun(
        () => ({
          model: { name: 'booting', stateful: 0, held: false, resting: false } as Model,
          real: { state: initialSlotState },
        }),
        commands,
      );
    }),
    { numRuns: 500 },
  );
});

it('goes its usual way', () => {
  const way: SlotAction[] = [
    { type: 'booted' },
    { type: 'start', after: 'rewind' },
    { type: 'finished' },
    { type: 'rewound' },
    { type: 'start', after: 'discard' },
    { type: 'finished' },
    { type: 'exited' },
  ];
  let state = initialSlotState;
  const names = way.map((action) => {
    state = transition(state, action);
    return state.name;
  });
  expect(names).toEqual(['idle', 'running', 'rewinding', 'idle', 'running', 'dying', 'dead']);
});
