"""Exact answers: equations, integrals, series, matrices, numbers."""

import sympy as sp

x, y, n = sp.symbols("x y n")
a = sp.symbols("a", positive=True)
f = sp.Function("f")
print(sp.solve(x**3 - 6 * x**2 + 11 * x - 6, x))
print(sp.solve([x + y - 5, x * y - 6], [x, y]))
print(sp.solve(x**2 + x + 1, x))
print(sp.integrate(sp.exp(-a * x**2), (x, -sp.oo, sp.oo)))
print(sp.integrate(x * sp.sin(x), x))
print(sp.diff(sp.log(x) / x, x), "|", sp.simplify(sp.diff(sp.log(x) / x, x)))
print(sp.series(sp.exp(x) * sp.cos(x), x, 0, 6))
print(sp.limit((1 + 1 / n) ** n, n, sp.oo), sp.limit(sp.sin(x) / x, x, 0))
print(sp.summation(1 / n**2, (n, 1, sp.oo)), sp.factor(x**4 - 1), sp.expand((x + y) ** 4))
print(sp.dsolve(f(x).diff(x, 2) + f(x), f(x)))
matrix = sp.Matrix([[2, 1, 0], [1, 2, 1], [0, 1, 2]])
print(matrix.det(), matrix.inv().tolist(), matrix.eigenvals())
print(sp.N(sp.pi, 40), sp.factorint(2**31 - 2), sp.nextprime(10**6))
print(sp.latex(sp.Integral(sp.sqrt(x) / (1 + y), x)))
print(sp.pretty(sp.Eq(sp.Sum(1 / n**2, (n, 1, sp.oo)), sp.pi**2 / 6)))
print(float(sp.lambdify(x, sp.sin(x) ** 2 + x, "numpy")(0.5)).__round__(10))
sp.solve(x**2 - 2, x)
