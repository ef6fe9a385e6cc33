"""An integral, an equation of motion, minima, roots, splines, statistics."""

import numpy as np
from scipy import integrate, interpolate, linalg, optimize, signal, sparse, special, stats
from scipy.sparse.linalg import spsolve

area, error = integrate.quad(lambda x: np.exp(-(x**2)), -np.inf, np.inf)
print("gauss", round(area, 8), round(area - np.sqrt(np.pi), 8), error < 1e-6)
volume, _ = integrate.dblquad(lambda y, x: x * y**2, 0, 2, 0, lambda x: x)
print("volume", round(volume, 8))


def pendulum(_: float, state: np.ndarray) -> list[float]:
    angle, speed = state
    return [speed, -9.81 * np.sin(angle) - 0.1 * speed]


swing = integrate.solve_ivp(pendulum, (0, 5), [1.0, 0.0], t_eval=np.linspace(0, 5, 6), rtol=1e-9, atol=1e-11)
print("pendulum", swing.success, swing.y[0].round(5).tolist())
stiff = integrate.solve_ivp(lambda t, y: [-1000 * (y[0] - np.cos(t))], (0, 1), [0.0], method="BDF", rtol=1e-8)
print("stiff", round(float(stiff.y[0, -1]), 4))

rosen = optimize.minimize(optimize.rosen, [-1.2, 1.0, 0.5], jac=optimize.rosen_der, method="BFGS", tol=1e-10)
print("rosenbrock", rosen.success, [round(value, 4) for value in rosen.x.tolist()])
print("root", round(optimize.brentq(lambda x: np.cos(x) - x, 0, 1), 9))
plan = optimize.linprog([-3, -5], A_ub=[[1, 0], [0, 2], [3, 2]], b_ub=[4, 12, 18])
print("plan", plan.x.round(6).tolist(), round(plan.fun, 6))
x = np.linspace(0, 4, 30)
(a, b), _ = optimize.curve_fit(
    lambda x, a, b: a * np.exp(-b * x), x, 2.5 * np.exp(-1.3 * x) + 0.01 * np.cos(9 * x)
)
print("fit", round(float(a), 4), round(float(b), 4))

print("spline", round(float(interpolate.CubicSpline(x, np.sin(x))(1.234)), 6))
print("expm", linalg.expm(np.array([[0.0, -1.0], [1.0, 0.0]])).round(8).tolist())
matrix = sparse.diags_array([-1, 2, -1], offsets=[-1, 0, 1], shape=(6, 6), dtype=float).tocsc()
print("sparse", matrix.nnz, spsolve(matrix, np.ones(6)).round(6).tolist())
print("peaks", signal.find_peaks(np.sin(np.linspace(0, 20, 200)))[0].tolist())
print("special", round(float(special.gamma(4.5)), 8), round(float(special.jv(1, 2.0)), 8))
test = stats.ttest_ind([5.1, 4.9, 6.2, 5.8, 6.0], [4.1, 4.4, 5.0, 4.6, 4.2])
print("t", round(float(test.statistic), 6), round(float(test.pvalue), 6))
print(
    "normal",
    round(float(stats.norm.ppf(0.975)), 8),
    stats.linregress([1, 2, 3, 4], [2, 4, 5, 8]).slope.round(8),
)
