"""Models fitted on generated data: scores and coefficients, rounded."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs, make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

x, y, truth = make_regression(200, 4, noise=2.0, coef=True, random_state=7)
linear = LinearRegression().fit(x, y)
print("truth", truth.round(3).tolist())
print("coefficients", linear.coef_.round(3).tolist(), "intercept", round(float(linear.intercept_), 3))
print("r2", round(linear.score(x, y), 5))

features, labels = make_classification(300, 8, n_informative=4, class_sep=1.5, random_state=7)
train, test, train_labels, test_labels = train_test_split(features, labels, test_size=0.3, random_state=7)
logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(train, train_labels)
guesses = logistic.predict(test)
print("confusion", confusion_matrix(test_labels, guesses).tolist())
print(classification_report(test_labels, guesses, digits=3))
print("probability", round(float(logistic.predict_proba(test)[0, 1]), 3))
print("folds", cross_val_score(logistic, features, labels, cv=4).round(3).tolist())

forest = RandomForestClassifier(30, random_state=7).fit(train, train_labels)
print(
    "forest",
    round(forest.score(test, test_labels), 2),
    "strongest",
    int(np.argmax(forest.feature_importances_)),
)

blobs, _ = make_blobs(150, centers=[[0, 0], [6, 6], [0, 8]], cluster_std=0.6, random_state=7)
means = KMeans(3, n_init=4, random_state=7).fit(blobs)
print(
    "centres",
    sorted(means.cluster_centers_.round(2).tolist()),
    "sizes",
    sorted(np.bincount(means.labels_).tolist()),
)
print("explained", PCA(2).fit(features).explained_variance_ratio_.round(4).tolist())
