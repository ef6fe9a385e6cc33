// Stock Pyodide with packages: boots, loads them, runs the code given as argument, exits. The mirror stands in for the CDN,
// so that no network is measured.
import { loadPyodide } from 'pyodide';

const [mirror, packages, code] = process.argv.slice(2);
const pyodide = await loadPyodide({
  lockFileURL: `${mirror}/pyodide-lock.json`,
  packageBaseUrl: `${mirror}/`,
  env: { MPLBACKEND: 'agg', HOME: '/home/pyodide' },
});
await pyodide.loadPackage(packages.split(','), { messageCallback: () => {} });
pyodide.runPython(code);
