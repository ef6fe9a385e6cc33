// Stock Pyodide kept warm in a worker thread. Nothing is cleaned between runs.
import { parentPort } from 'node:worker_threads';
import { loadPyodide } from 'pyodide';

const pyodide = await loadPyodide();
parentPort.on('message', (code) => parentPort.postMessage(pyodide.runPython(code)));
parentPort.postMessage('ready');
