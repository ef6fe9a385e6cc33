// Stock Pyodide with packages, kept warm in a worker thread. Nothing is cleaned between runs.
import { parentPort, workerData } from 'node:worker_threads';
import { loadPyodide } from 'pyodide';

const { mirror, packages } = workerData;
const pyodide = await loadPyodide({
  lockFileURL: `${mirror}/pyodide-lock.json`,
  packageBaseUrl: `${mirror}/`,
  env: { MPLBACKEND: 'agg', HOME: '/home/pyodide' },
});
await pyodide.loadPackage(packages, { messageCallback: () => {} });
parentPort.on('message', (code) => parentPort.postMessage(String(pyodide.runPython(code))));
parentPort.postMessage('ready');
