"""Run and forgotten when an image is built, after `numpy.py` and `data.py`: scipy, scikit-learn, sympy."""

import io
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy.cluster.hierarchy
import scipy.cluster.vq
import scipy.constants
import scipy.fft
import scipy.fftpack
import scipy.integrate
import scipy.interpolate
import scipy.io
import scipy.io.wavfile
import scipy.linalg
import scipy.linalg.interpolative
import scipy.ndimage
import scipy.optimize
import scipy.signal
import scipy.sparse.csgraph
import scipy.sparse.linalg
import scipy.spatial.distance
import scipy.spatial.transform
import scipy.special
import scipy.stats
import scipy.stats.qmc
import scipy.stats.sampling
import sklearn
import sklearn.calibration
import sklearn.cluster
import sklearn.compose
import sklearn.covariance
import sklearn.datasets
import sklearn.decomposition
import sklearn.discriminant_analysis
import sklearn.dummy
import sklearn.ensemble
import sklearn.feature_extraction.text
import sklearn.feature_selection
import sklearn.gaussian_process
import sklearn.impute
import sklearn.inspection
import sklearn.isotonic
import sklearn.kernel_ridge
import sklearn.linear_model
import sklearn.manifold
import sklearn.metrics
import sklearn.mixture
import sklearn.model_selection
import sklearn.multiclass
import sklearn.multioutput
import sklearn.naive_bayes
import sklearn.neighbors
import sklearn.neural_network
import sklearn.pipeline
import sklearn.preprocessing
import sklearn.random_projection
import sklearn.svm
import sklearn.tree
import sympy
import sympy.parsing.sympy_parser
import sympy.plotting
import sympy.printing.mathml
import sympy.printing.pycode
import sympy.stats

ROUNDS = 3
rng = np.random.default_rng(1)


def calculus() -> None:
    scipy.integrate.quad(np.sin, 0, 1), scipy.integrate.dblquad(lambda y, x: x * y, 0, 1, 0, 1)
    scipy.integrate.trapezoid([1, 2, 3]), scipy.integrate.simpson([1, 2, 3])
    for method in ("RK45", "DOP853", "Radau", "BDF", "LSODA"):
        scipy.integrate.solve_ivp(lambda t, y: -y, (0, 1), [1.0], method=method, t_eval=[0, 1])
    scipy.integrate.odeint(lambda y, t: -y, 1.0, [0, 1])
    for method in (
        "Nelder-Mead",
        "BFGS",
        "L-BFGS-B",
        "SLSQP",
        "Powell",
        "CG",
        "TNC",
        "COBYLA",
        "trust-constr",
    ):
        str(scipy.optimize.minimize(lambda v: (v[0] - 1) ** 2 + v[1] ** 2, [0.0, 0.5], method=method))
    scipy.optimize.minimize_scalar(lambda v: (v - 1) ** 2), scipy.optimize.brentq(np.cos, 0, 3)
    scipy.optimize.root(np.cos, [1.0]), scipy.optimize.fsolve(np.cos, 1.0), scipy.optimize.newton(np.cos, 1.0)
    scipy.optimize.curve_fit(lambda x, a, b: a * x + b, [0.0, 1.0, 2.0], [1.0, 3.1, 5.0])
    (
        scipy.optimize.least_squares(lambda v: v - 1, [0.0], bounds=(-2, 2)),
        scipy.optimize.nnls(np.eye(2), [1, 2]),
    )
    scipy.optimize.linprog([1, 1], A_ub=[[-1, 0], [0, -1]], b_ub=[-1, -1])
    scipy.optimize.milp([1, 1], integrality=[1, 1], bounds=scipy.optimize.Bounds(0.5, 3))
    scipy.optimize.linear_sum_assignment([[1, 2], [2, 1]])
    scipy.optimize.differential_evolution(lambda v: v[0] ** 2, [(-1, 1)], maxiter=2, rng=1)
    x = np.linspace(0, 3, 8)
    scipy.interpolate.CubicSpline(x, x**2)(1.5), scipy.interpolate.interp1d(x, x)(1.5)
    scipy.interpolate.UnivariateSpline(x, x**2)(1.5), scipy.interpolate.make_interp_spline(x, x)(1.5)
    scipy.interpolate.PchipInterpolator(x, x)(1.5), scipy.interpolate.splev(1, scipy.interpolate.splrep(x, x))
    scipy.interpolate.RegularGridInterpolator((x, x), np.outer(x, x))([[1, 1]])
    points = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [0.4, 0.6]])
    scipy.interpolate.griddata(points, points[:, 0], [[0.5, 0.4]])
    scipy.interpolate.RBFInterpolator(points, points[:, 0])([[0.5, 0.5]])


def matrices() -> None:
    a = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
    scipy.linalg.lu(a), scipy.linalg.expm(a), scipy.linalg.eig(a), scipy.linalg.eigh(a), scipy.linalg.svd(a)
    scipy.linalg.solve(a, a[0]), scipy.linalg.inv(a), scipy.linalg.qr(a), scipy.linalg.cholesky(a)
    scipy.linalg.sqrtm(a), scipy.linalg.logm(a), scipy.linalg.schur(a), scipy.linalg.lstsq(a, a[0])
    scipy.linalg.solve_toeplitz([2.0, 1, 0], [1.0, 2, 3]), scipy.linalg.det(a), scipy.linalg.null_space(a)
    sparse = scipy.sparse.csr_array(a)
    (
        str(sparse),
        sparse @ a,
        sparse.T.tocsc(),
        sparse.tocoo(),
        sparse.tolil(),
        sparse.todok(),
        sparse.toarray(),
    )
    scipy.sparse.linalg.spsolve(sparse.tocsc(), a[0]), scipy.sparse.linalg.cg(sparse, a[0])
    scipy.sparse.linalg.eigsh(sparse, k=1), scipy.sparse.linalg.svds(sparse, k=1), scipy.sparse.eye_array(3)
    scipy.sparse.linalg.gmres(sparse, a[0]), scipy.sparse.random_array((3, 3), density=0.5)
    scipy.sparse.csgraph.shortest_path(sparse), scipy.sparse.csgraph.connected_components(sparse)
    scipy.sparse.csgraph.minimum_spanning_tree(sparse)
    points = rng.random((20, 2))
    (
        scipy.spatial.KDTree(points).query(points[0], 2),
        scipy.spatial.ConvexHull(points),
        scipy.spatial.Delaunay(points),
    )
    scipy.spatial.Voronoi(points), scipy.spatial.distance.cdist(points, points)
    scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(points, "cosine"))
    scipy.spatial.transform.Rotation.from_euler("z", 90, degrees=True).apply([1, 0, 0])
    scipy.cluster.hierarchy.fcluster(scipy.cluster.hierarchy.linkage(points, "ward"), 2, "maxclust")
    scipy.cluster.vq.kmeans2(points, 2, rng=1)


def signals() -> None:
    x = np.sin(np.linspace(0, 20, 200)) + 0.1 * rng.random(200)
    scipy.fft.ifft(scipy.fft.fft(x)), scipy.fft.rfftfreq(200), scipy.fft.dct(x), scipy.fftpack.fft(x)
    b, a = scipy.signal.butter(3, 0.2)
    scipy.signal.filtfilt(b, a, x), scipy.signal.lfilter(b, a, x), scipy.signal.find_peaks(x, prominence=0.1)
    (
        scipy.signal.sosfilt(scipy.signal.butter(3, 0.2, output="sos"), x),
        scipy.signal.welch(x),
        scipy.signal.hilbert(x),
    )
    scipy.signal.savgol_filter(x, 7, 2), scipy.signal.convolve(x, x), scipy.signal.resample(x, 100)
    scipy.signal.spectrogram(x, nperseg=64), scipy.signal.get_window("hann", 8), scipy.signal.medfilt(x, 3)
    scipy.signal.correlate2d(np.eye(3), np.eye(2)), scipy.signal.freqz(b, a), scipy.signal.detrend(x)
    image = rng.random((12, 12))
    scipy.ndimage.gaussian_filter(image, 1), scipy.ndimage.rotate(image, 30), scipy.ndimage.label(image > 0.5)
    scipy.ndimage.zoom(image, 2), scipy.ndimage.median_filter(image, 3), scipy.ndimage.sobel(image)
    (
        scipy.ndimage.binary_dilation(image > 0.5),
        scipy.ndimage.center_of_mass(image),
        scipy.ndimage.convolve1d(x, [1, 1]),
    )
    scipy.special.gamma(x), scipy.special.erf(x), scipy.special.jv(0, x), scipy.special.comb(5, 2)
    scipy.special.expit(x), scipy.special.logsumexp(x), scipy.special.softmax(x), scipy.special.factorial(5)
    file = io.BytesIO()
    scipy.io.savemat(file, {"x": x})
    file.seek(0)
    scipy.io.loadmat(file)
    file = io.BytesIO()
    scipy.io.wavfile.write(file, 8000, x.astype(np.float32))


def statistics() -> None:
    x, y = rng.normal(size=30), rng.normal(size=30)
    for law in (
        scipy.stats.norm,
        scipy.stats.t(5),
        scipy.stats.gamma(2),
        scipy.stats.poisson(3),
        scipy.stats.beta(2, 3),
    ):
        law.cdf(0.5), law.ppf(0.5), law.mean(), law.rvs(size=3, random_state=1)
    scipy.stats.norm.pdf(x), scipy.stats.norm.fit(x), scipy.stats.describe(x), scipy.stats.zscore(x)
    str(scipy.stats.ttest_ind(x, y)), scipy.stats.ttest_rel(x, y), scipy.stats.ttest_1samp(x, 0)
    scipy.stats.pearsonr(x, y), scipy.stats.spearmanr(x, y), scipy.stats.kendalltau(x, y)
    scipy.stats.linregress(x, y), scipy.stats.chi2_contingency([[9, 5], [3, 8]]), scipy.stats.f_oneway(x, y)
    (
        scipy.stats.shapiro(x),
        scipy.stats.kstest(x, "norm"),
        scipy.stats.mannwhitneyu(x, y),
        scipy.stats.wilcoxon(x),
    )
    (
        scipy.stats.kruskal(x, y),
        scipy.stats.levene(x, y),
        scipy.stats.gaussian_kde(x)(0),
        scipy.stats.fisher_exact(np.eye(2)),
    )
    scipy.stats.bootstrap((x,), np.mean, n_resamples=9, rng=1), scipy.stats.qmc.Sobol(2).random(4)
    scipy.stats.multivariate_normal([0, 0]).pdf([0, 0]), scipy.stats.skew(x), scipy.stats.mode([1, 1, 2])


def learning() -> None:
    features, labels = sklearn.datasets.make_classification(80, 6, random_state=1)
    train, test, train_labels, test_labels = sklearn.model_selection.train_test_split(
        features, labels, stratify=labels, random_state=1
    )
    classifiers = (
        sklearn.linear_model.LogisticRegression(),
        sklearn.linear_model.LogisticRegression(solver="liblinear"),
        sklearn.linear_model.SGDClassifier(random_state=1),
        sklearn.ensemble.RandomForestClassifier(5, random_state=1),
        sklearn.ensemble.GradientBoostingClassifier(n_estimators=3),
        sklearn.ensemble.HistGradientBoostingClassifier(max_iter=3),
        sklearn.tree.DecisionTreeClassifier(),
        sklearn.neighbors.KNeighborsClassifier(),
        sklearn.naive_bayes.GaussianNB(),
        sklearn.svm.SVC(),
        sklearn.svm.LinearSVC(),
        sklearn.discriminant_analysis.LinearDiscriminantAnalysis(),
        sklearn.neural_network.MLPClassifier((4,), max_iter=2, random_state=1),
        sklearn.pipeline.make_pipeline(
            sklearn.preprocessing.StandardScaler(), sklearn.linear_model.LogisticRegression()
        ),
    )
    for model in classifiers:
        model.fit(train, train_labels)
        guesses = model.predict(test)
        model.score(test, test_labels), repr(model), model._repr_html_()
    (
        sklearn.metrics.classification_report(test_labels, guesses),
        sklearn.metrics.confusion_matrix(test_labels, guesses),
    )
    sklearn.metrics.accuracy_score(test_labels, guesses), sklearn.metrics.f1_score(test_labels, guesses)
    sklearn.metrics.roc_auc_score(test_labels, guesses), sklearn.metrics.roc_curve(test_labels, guesses)
    sklearn.model_selection.cross_val_score(classifiers[0], features, labels, cv=3)
    sklearn.model_selection.GridSearchCV(classifiers[0], {"C": [0.1, 1]}, cv=2).fit(features, labels)
    x, y = sklearn.datasets.make_regression(60, 4, noise=1, random_state=1)
    regressors = (
        sklearn.linear_model.LinearRegression(),
        sklearn.linear_model.Ridge(),
        sklearn.linear_model.Lasso(),
        sklearn.linear_model.ElasticNet(),
        sklearn.ensemble.RandomForestRegressor(5),
        sklearn.tree.DecisionTreeRegressor(),
        sklearn.neighbors.KNeighborsRegressor(),
        sklearn.svm.SVR(),
    )
    for model in regressors:
        guesses = model.fit(x, y).predict(x)
    sklearn.metrics.mean_squared_error(y, guesses), sklearn.metrics.r2_score(y, guesses)
    sklearn.metrics.mean_absolute_error(y, guesses)
    for model in (
        sklearn.cluster.KMeans(2, n_init=2),
        sklearn.cluster.KMeans(2, n_init=2, algorithm="elkan"),
        sklearn.cluster.DBSCAN(),
        sklearn.cluster.AgglomerativeClustering(2),
        sklearn.cluster.HDBSCAN(copy=True),
        sklearn.mixture.GaussianMixture(2),
    ):
        sklearn.metrics.silhouette_score(features, labels), model.fit_predict(features)
    for model in (
        sklearn.decomposition.PCA(2),
        sklearn.decomposition.TruncatedSVD(2),
        sklearn.manifold.TSNE(2, perplexity=5, max_iter=250),
        sklearn.preprocessing.MinMaxScaler(),
        sklearn.preprocessing.PolynomialFeatures(2),
        sklearn.feature_selection.SelectKBest(k=2),
        sklearn.impute.SimpleImputer(),
    ):
        model.fit_transform(features, labels)
    sklearn.decomposition.NMF(2, init="nndsvda", max_iter=500, tol=0.1).fit_transform(abs(features))
    table = pd.DataFrame({"size": [1.0, 2, 3, 4], "kind": ["a", "b", "a", "b"]})
    prepare = sklearn.compose.ColumnTransformer(
        [
            ("number", sklearn.preprocessing.StandardScaler(), ["size"]),
            ("word", sklearn.preprocessing.OneHotEncoder(), ["kind"]),
        ]
    )
    sklearn.preprocessing.LabelEncoder().fit_transform(table.kind), prepare.fit_transform(table)
    texts = ["clean quick bounded", "quick runs"]
    sklearn.feature_extraction.text.TfidfVectorizer().fit_transform(texts)
    sklearn.feature_extraction.text.CountVectorizer().fit_transform(texts)
    sklearn.datasets.load_iris(as_frame=True), sklearn.datasets.make_blobs(9), sklearn.datasets.load_digits()
    sklearn.clone(classifiers[0])


def symbols() -> None:
    x, y, n = sympy.symbols("x y n")
    f = sympy.Function("f")
    sympy.solve(x**2 - 2, x), sympy.solve([x + y - 3, x - y - 1], [x, y]), sympy.solveset(sympy.sin(x), x)
    sympy.integrate(x * sympy.exp(-(x**2)), x), sympy.integrate(sympy.sin(x), (x, 0, sympy.pi))
    sympy.integrate(sympy.exp(-(x**2)), (x, -sympy.oo, sympy.oo)), sympy.diff(sympy.sin(x) * x, x)
    sympy.limit(sympy.sin(x) / x, x, 0), sympy.series(sympy.cos(x), x, 0, 6), sympy.factor(x**2 - 1)
    (
        sympy.expand((x + y) ** 3),
        sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2),
        sympy.apart(1 / (x**2 - 1)),
    )
    (
        sympy.summation(1 / n**2, (n, 1, sympy.oo)),
        sympy.dsolve(f(x).diff(x) - f(x), f(x)),
        sympy.N(sympy.pi, 30),
    )
    matrix = sympy.Matrix([[2, 1], [1, 3]])
    matrix.inv(), matrix.det(), matrix.eigenvals(), matrix.eigenvects(), matrix.rref()
    value = sympy.Integral(sympy.sqrt(x) / y, x)
    for show in (str, repr, sympy.latex, sympy.pretty, sympy.srepr, sympy.pycode, sympy.mathml):
        show(value if show is not sympy.pycode else x**2), show(x**2)
    sympy.lambdify(x, sympy.sin(x) ** 2, "numpy")(np.array([1.0])), sympy.nsolve(sympy.cos(x) - x, 1)
    sympy.factorint(360), sympy.isprime(97), sympy.Rational(1, 3) + 1, sympy.parse_expr("x**2 + 1").subs(x, 2)
    sympy.solve(x**3 - x - 1, x), sympy.solve(x > 1, x), sympy.nsimplify(0.25), sympy.binomial(5, 2)


def rounds(works: tuple[Callable[[], None], ...]) -> None:
    for _ in range(ROUNDS):
        for work in works:
            work()


# Fits too small to converge warn. Leaving the block also has every module forget what it warned of.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    rounds((calculus, matrices, signals, statistics, learning, symbols))
