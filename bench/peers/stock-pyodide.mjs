// Stock Pyodide as its package is: boots, runs the code given as argument, exits.
import { loadPyodide } from 'pyodide';

const pyodide = await loadPyodide();
pyodide.runPython(process.argv[2] ?? '');
