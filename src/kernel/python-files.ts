/** The harness as text, put under site-packages by a plain boot; an image has it in its heap and its files. */
import init from '../../python/vivarium/__init__.py';
import channel from '../../python/vivarium/_channel.py';
import clock from '../../python/vivarium/_clock.py';
import display from '../../python/vivarium/_display.py';
import guard from '../../python/vivarium/_guard.py';
import harness from '../../python/vivarium/_harness.py';
import kernel from '../../python/vivarium/_kernel.py';
import loop from '../../python/vivarium/_loop.py';
import pristine from '../../python/vivarium/_pristine.py';
import repr from '../../python/vivarium/_repr.py';
import streams from '../../python/vivarium/_streams.py';
import traceback from '../../python/vivarium/_traceback.py';
import values from '../../python/vivarium/_values.py';
import warm from '../../python/vivarium/_warm.py';

export const pythonFiles: Readonly<Record<string, string>> = {
  '__init__.py': init,
  '_channel.py': channel,
  '_clock.py': clock,
  '_display.py': display,
  '_guard.py': guard,
  '_harness.py': harness,
  '_kernel.py': kernel,
  '_loop.py': loop,
  '_pristine.py': pristine,
  '_repr.py': repr,
  '_streams.py': streams,
  '_traceback.py': traceback,
  '_values.py': values,
  '_warm.py': warm,
};

/** Run before a kernel's first real run: see the file. */
export const warmScript: string = warm;
