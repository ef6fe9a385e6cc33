/** The harness as text, put under site-packages by a plain boot; an image has it in its heap and its files. */
import init from '../../python/vivarium/__init__.py';
import arrays from '../../python/vivarium/_arrays.py';
import build from '../../python/vivarium/_build.py';
import channel from '../../python/vivarium/_channel.py';
import clock from '../../python/vivarium/_clock.py';
import display from '../../python/vivarium/_display.py';
import entropy from '../../python/vivarium/_entropy.py';
import figures from '../../python/vivarium/_figures.py';
import freezable from '../../python/vivarium/_freezable.py';
import guard from '../../python/vivarium/_guard.py';
import harness from '../../python/vivarium/_harness.py';
import held from '../../python/vivarium/_held.py';
import install from '../../python/vivarium/_install.py';
import kernel from '../../python/vivarium/_kernel.py';
import loop from '../../python/vivarium/_loop.py';
import magics from '../../python/vivarium/_magics.py';
import micropip from '../../python/vivarium/_micropip.py';
import pristine from '../../python/vivarium/_pristine.py';
import prompt from '../../python/vivarium/_prompt.py';
import repr from '../../python/vivarium/_repr.py';
import resolve from '../../python/vivarium/_resolve.py';
import resolveFailure from '../../python/vivarium/_resolve_failure.py';
import resolveImage from '../../python/vivarium/_resolve_image.py';
import streams from '../../python/vivarium/_streams.py';
import stubJs from '../../python/vivarium/_stubs/js.py';
import stubMicropip from '../../python/vivarium/_stubs/micropip.py';
import stubPyodideJs from '../../python/vivarium/_stubs/pyodide_js.py';
import traceback from '../../python/vivarium/_traceback.py';
import values from '../../python/vivarium/_values.py';
import warm from '../../python/vivarium/_warm.py';
import warmPackages from '../../python/vivarium/_warm_packages.py';

export const pythonFiles: Readonly<Record<string, string>> = {
  '__init__.py': init,
  '_arrays.py': arrays,
  '_build.py': build,
  '_channel.py': channel,
  '_clock.py': clock,
  '_display.py': display,
  '_entropy.py': entropy,
  '_figures.py': figures,
  '_freezable.py': freezable,
  '_guard.py': guard,
  '_held.py': held,
  '_harness.py': harness,
  '_install.py': install,
  '_kernel.py': kernel,
  '_loop.py': loop,
  '_magics.py': magics,
  '_micropip.py': micropip,
  '_pristine.py': pristine,
  '_prompt.py': prompt,
  '_repr.py': repr,
  '_resolve.py': resolve,
  '_resolve_failure.py': resolveFailure,
  '_resolve_image.py': resolveImage,
  '_streams.py': streams,
  '_traceback.py': traceback,
  '_values.py': values,
  '_warm.py': warm,
  '_warm_packages.py': warmPackages,
  '_stubs/js.py': stubJs,
  '_stubs/micropip.py': stubMicropip,
  '_stubs/pyodide_js.py': stubPyodideJs,
};

/** Run before a kernel's first real run: see the files. */
export const warmScripts: readonly string[] = [warm, warmPackages];
