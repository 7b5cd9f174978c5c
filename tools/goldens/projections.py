"""Golden file of cnn-viz's projections, from scikit-learn. See README.md."""

import json
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from formula import uniform

GOLDEN = Path(__file__).parents[2] / "crates/cnn-viz/tests/golden/projections.json"
CLUSTERS, PER_CLUSTER, COLUMNS = 4, 30, 12


def main():
    x = clusters()
    pca = PCA(2, svd_solver="full").fit(x)
    result = {
        "points": np.round(pca.transform(x), 10).tolist(),
        "explained": pca.explained_variance_ratio_.tolist(),
        "divergences": {str(p): divergence(x, p) for p in (5, 20, 30)},
    }
    GOLDEN.write_text(json.dumps(result) + "\n")


def clusters() -> np.ndarray:
    """Four groups around corners, which overlap a little."""
    corners = 2 * uniform("projection.corners", CLUSTERS * COLUMNS).reshape(CLUSTERS, 1, COLUMNS) - 1
    spread = 2 * uniform("projection.spread", CLUSTERS * PER_CLUSTER * COLUMNS).reshape(CLUSTERS, PER_CLUSTER, COLUMNS) - 1
    return (1.5 * corners + spread).reshape(-1, COLUMNS).astype(np.float32).astype(np.float64)


def divergence(x, perplexity):
    model = TSNE(2, perplexity=perplexity, init="pca", method="exact", random_state=0, learning_rate="auto", max_iter=1000)
    model.fit_transform(x)
    return float(model.kl_divergence_)


if __name__ == "__main__":
    main()
