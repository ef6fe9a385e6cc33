import type { Execution } from '../../src/runtime.ts';
import { isOk, isValue, type Kind, type Mix, poison } from './mix.ts';

/** Raises when something of an earlier run is left in numpy, pandas, matplotlib or around them. */
const check = `\
import decimal as _d, os as _o, sys as _s, warnings as _w
import matplotlib as _m, matplotlib.pyplot as _plt, matplotlib.units as _u, numpy as _np, pandas as _pd
def _changed():
    return [
        key for key, default in _m.rcParamsDefault.items()
        if not key.startswith("backend") and _m.rcParams._get(key) != default
    ]
_frame = _pd.DataFrame({"a": [1, 2, 2], "b": [1.0, None, 3.0]})
_left = [name for name, clean in {
    "globals": not [n for n in globals() if n.startswith("leak")],
    "numpy": _np.sum(_np.arange(4)) == 6 and not hasattr(_np, "leak"),
    "numpy's errors": _np.geterr() == {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"},
    "numpy's printing": str(_np.array([1 / 3])) == "[0.33333333]",
    "linear algebra": _np.linalg.det(_np.eye(2)) == 1.0,
    "generators": not hasattr(_np.random.default_rng, "leak") and callable(_np.random.rand),
    "rcParams": _changed() == [],
    "colours": "leak" not in _m.colormaps and "leak" not in _m.colors.get_named_colors_mapping(),
    "figures": _plt.get_fignums() == [],
    "units": _d.Context not in _u.registry,
    "frames": _frame.groupby("a").b.sum().to_dict() == {1: 1.0, 2: 3.0} and len(_frame.head(2)) == 2,
    "accessors": not hasattr(_pd.DataFrame, "leak") and "leak" not in _pd.DataFrame._accessors,
    "pandas' options": _pd.get_option("display.max_rows") == 60 and _pd.get_option("display.precision") == 6,
    "path": "/leak" not in _s.path,
    "modules": "leak" not in _s.modules and type(_s.modules["numpy"]).__name__ == "module",
    "warnings": not [entry for entry in _w.filters if entry[0] == "error"] and _w.warn.__name__ == "warn",
    "folder": _o.listdir() == [] and not [n for n in _o.listdir("/tmp") if n.startswith("leak")],
    "environment": "LEAK" not in _o.environ,
}.items() if not clean]
if _left:
    raise SystemError(f"left behind: {_left}")
del _changed, _frame, _left, _d, _o, _s, _w, _m, _plt, _u, _np, _pd
`;

const memoryError: Kind = {
  name: 'memory error',
  code: 'x = []\nwhile True: x.append(bytearray(1 << 20))',
  options: { memoryBytes: 400 << 20 },
  right: (e) => e.status === 'oom',
};

const isError =
  (name: RegExp) =>
  (execution: Execution): boolean =>
    execution.status === 'error' && name.test(execution.error?.name ?? '');

const kinds: readonly Kind[] = [
  {
    name: 'numbers',
    code: 'import numpy as np\nfloat(np.linalg.inv(np.eye(3) * 2).sum() + np.fft.fft([1, 2, 3])[0].real)',
    right: isValue(7.5),
  },
  {
    name: 'an array',
    code: 'import numpy as np\nnp.arange(50_000.0)',
    right: (e) => e.value instanceof Float64Array && e.value.length === 50_000,
  },
  {
    name: 'a frame',
    code: 'import pandas as pd\npd.DataFrame({"k": list("abab"), "v": range(4)}).groupby("k").v.sum().to_dict()',
    right: isValue({ a: 2, b: 4 }),
  },
  {
    name: 'a frame as HTML',
    code: 'import pandas as pd\npd.DataFrame({"k": range(30)})',
    right: (e) => isOk(e) && e.html?.includes('<table') === true,
  },
  {
    name: 'a CSV',
    code: 'import io, pandas as pd\nfloat(pd.read_csv(io.StringIO("a,b\\n1,2\\n3,4\\n")).to_numpy().sum())',
    right: isValue(10),
  },
  {
    name: 'a figure left open',
    code: 'import matplotlib.pyplot as plt\nleak = plt.figure(figsize=(3, 2))\nplt.plot([1, 3, 2])\nNone',
    right: (e) => isOk(e) && e.png !== undefined,
  },
  {
    name: 'a figure saved',
    code: 'import matplotlib.pyplot as plt\nplt.bar(["a", "b"], [1, 2])\nplt.savefig("out.png")\nplt.close("all")',
    every: 4,
    right: (e) => isOk(e) && e.files[0]?.path === 'out.png',
  },
  {
    name: 'an image',
    code: 'from PIL import Image\nImage.new("RGB", (50, 50), "red").rotate(10).save("out.gif")',
    right: (e) => isOk(e) && e.files[0]?.path === 'out.gif',
  },
  {
    name: 'an exception of numpy',
    code: 'import numpy as np\nnp.ones((2, 3)) @ np.ones((2, 3))',
    right: isError(/^ValueError$/),
  },
  {
    name: 'an exception of linear algebra',
    code: 'import numpy as np\nnp.linalg.inv(np.zeros((2, 3)))',
    right: isError(/LinAlgError$/),
  },
  {
    name: 'an exception of pandas',
    code: 'import pandas as pd\npd.DataFrame({"a": [1]})["b"]',
    right: isError(/^KeyError$/),
  },
  {
    name: 'a large array',
    code: 'import numpy as np\nleak = np.ones(10_000_000)\nfloat(leak.sum())',
    every: 3,
    right: isValue(10_000_000),
  },
  {
    name: 'an array beyond the limit',
    code: 'import numpy as np\nleak = [np.ones(1_000_000)]\nnp.ones(1 << 27)',
    every: 3,
    // numpy's own class, which derives from MemoryError.
    right: (e) => e.status === 'oom' || isError(/MemoryError$/)(e),
  },
  { ...memoryError, every: 20 },
  {
    name: 'timeout in numpy',
    code: 'import numpy as np\nwhile True: np.sort(np.ones(1000))',
    options: { timeoutMs: 40 },
    every: 5,
    right: (e) => e.status === 'timeout' && !e.worker.lost,
  },
  {
    name: 'seeded',
    code: 'import numpy as np\nfloat(np.random.rand())',
    options: { seed: 7 },
    right: isValue(0.07630828937395717),
  },

  poison('np.sum', 'import numpy as np\nnp.sum = None\nnp.leak = 1'),
  poison(
    'numpy replaced',
    'import sys, types\nsys.modules["numpy"] = sys.modules["leak"] = types.SimpleNamespace()',
  ),
  poison('np.linalg', 'import numpy as np\nnp.linalg.det = lambda matrix: 42.0\nnp.random.rand = 3'),
  poison('np.seterr', 'import numpy as np\nnp.seterr(all="raise")'),
  poison('print options', 'import numpy as np\nnp.set_printoptions(precision=2, suppress=True)'),
  poison(
    'rcParams',
    'import matplotlib as m\nm.rcParams["figure.dpi"] = 33\nm.rc("font", size=40)\nm.style.use("dark_background")',
  ),
  poison('rcParamsDefault', 'import matplotlib as m\nm.rcParamsDefault["lines.linewidth"] = 99'),
  poison(
    'a colour map',
    'import matplotlib as m\nm.colormaps.register(m.colormaps["viridis"].copy(), name="leak")\nm.colors.get_named_colors_mapping()["leak"] = "red"',
  ),
  poison(
    'a unit',
    'import decimal\nimport matplotlib.units as u\nu.registry[decimal.Context] = u.ConversionInterface()',
  ),
  {
    name: 'many figures',
    code: 'import matplotlib.pyplot as plt\nleak = [plt.figure(figsize=(1, 1)) for _ in range(4)]\nplt.ion()\nNone',
    every: 4,
    right: isOk,
  },
  poison(
    'an accessor',
    'import pandas as pd\n@pd.api.extensions.register_dataframe_accessor("leak")\nclass Leak:\n    def __init__(self, frame): pass',
  ),
  poison(
    'methods of DataFrame',
    'import pandas as pd\npd.DataFrame.head = lambda self, n=5: self\npd.DataFrame.groupby = None',
  ),
  poison(
    'options of pandas',
    'import pandas as pd\npd.set_option("display.max_rows", 3, "display.precision", 1)',
  ),
  poison('sys.path', 'import sys\nsys.path.insert(0, "/leak")\nimport os\nos.environ["LEAK"] = "1"'),
  poison('warnings', 'import warnings\nwarnings.simplefilter("error")\nwarnings.warn = print'),
  poison(
    'files',
    'import numpy as np\nleak = [open(f"/tmp/leak{i}", "w") for i in range(9)]\nnp.save("/tmp/leak", np.ones(9))\nleak.append(np.memmap("/tmp/leak.map", mode="w+", shape=9))',
  ),
  poison(
    'the global generator',
    'import random\nimport numpy as np\nnp.random.seed(0)\nrandom.seed(0)\nnp.random.rand(9)',
  ),
  poison(
    'the source of entropy',
    'import os\nimport numpy as np\nos.urandom = bytes\nnp.random.default_rng = lambda *a: np.random.Generator(np.random.PCG64(1))\nnp.random.default_rng.leak = 1',
  ),
  poison(
    'finalizers',
    'import weakref\nimport numpy as np\nclass Leak(np.ndarray):\n    def __del__(self): print("LEAK")\nleak = np.ones(9).view(Leak)\nweakref.finalize(leak, print, "LEAK")\nnp.leak = leak',
  ),
];

/** What a run draws when it asks for no seed, from each source there is, and the descriptor that it opens next. */
const probe = `${check}\
import gc, os, random, secrets, uuid
import numpy as np
gc.collect()
print("probe")
_number = os.open("/dev/null", os.O_RDONLY)
os.close(_number)
_drawn = [random.random(), np.random.rand(), np.random.default_rng().random(), uuid.uuid4().hex, secrets.token_hex(8)]
[_number, *[f"{index} {one}" for index, one in enumerate(_drawn)]]`;

const sources = 5;

/** With its own memory of what was drawn: one for each soak. */
export function packagesMix(): Mix {
  const drawn = new Set<string>();
  let descriptor: unknown;
  return {
    kinds,
    check: () => check,
    probe,
    isClean: (execution) => {
      if (execution.status !== 'ok' || execution.stdout !== 'probe\n' || execution.stderr !== '')
        return false;
      if (!Array.isArray(execution.value)) return false;
      const [next, ...draws] = execution.value;
      descriptor ??= next;
      const before = drawn.size;
      for (const one of draws) drawn.add(String(one));
      return next === descriptor && draws.length === sources && drawn.size === before + sources;
    },
    largest: memoryError,
  };
}
