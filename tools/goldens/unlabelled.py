"""Golden file of cnn-metrics' measures without labels, from numpy, torch and scikit-learn. See README.md."""

import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from formula import uniform

GOLDEN = Path(__file__).parents[2] / "crates/cnn-metrics/tests/golden/unlabelled.json"
SAMPLES, CLASSES = 40, 5
SOURCE, TARGET, COLUMNS = 31, 24, 6
PENALTIES = [1e-3, 0.1]


def main():
    logits = drawn("unlabelled.logits", (SAMPLES, CLASSES)) * np.float32(12)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    result = {
        "mean_entropy": entropies(p).mean(),
        "information_maximization": entropies(p.mean(0)) - entropies(p).mean(),
        "batch_nuclear_norm": np.linalg.norm(p, "nuc") / SAMPLES,
        "soft_neighborhood_density": density(p, 0.05),
        "soft_neighborhood_density 0.5": density(p, 0.5),
        "deep_embedded_validation": dev(uniform("unlabelled.losses", 50) * 3, uniform("unlabelled.ratios", 50) * 2),
        "singular_values": np.linalg.svd(drawn("unlabelled.matrix", (7, 12)).astype(np.float64), compute_uv=False).tolist(),
        "eigenvalues": eigenvalues(),
        "classifiers": [classifier(penalty) for penalty in PENALTIES],
        "a_distance": a_distance(1e-3),
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in result.items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def drawn(name: str, shape) -> np.ndarray:
    return (2 * uniform(name, int(np.prod(shape))) - 1).astype(np.float32).reshape(shape)


def entropies(p):
    return -(p * np.log(p)).sum(-1)


def density(p, temperature):
    directions = p / np.linalg.norm(p, axis=1, keepdims=True)
    s = directions @ directions.T / temperature
    np.fill_diagonal(s, -np.inf)
    q = np.exp(s - s.max(1, keepdims=True))
    q /= q.sum(1, keepdims=True)
    return -(q * np.log(np.where(q > 0, q, 1))).sum(1).mean()


def dev(losses, ratios):
    """As thuml/Deep-Embedded-Validation."""
    weighted = losses * ratios
    covariance = np.cov(np.stack([weighted, ratios]))[0][1]
    eta = -covariance / np.var(ratios, ddof=1)
    return np.mean(weighted) + eta * np.mean(ratios) - eta


def eigenvalues():
    """Of a matrix of 300 rows whose spectrum falls slowly."""
    x = drawn("unlabelled.large", (300, 300)).astype(np.float64) * np.exp(-np.arange(300) / 60)
    return np.linalg.eigvalsh(x.T @ x)[::-1][:5].tolist()


def features():
    source, target = drawn("unlabelled.source", (SOURCE, COLUMNS)), drawn("unlabelled.target", (TARGET, COLUMNS))
    # One column tells something, one nothing at all, one is far from the origin.
    source[:, 0] += np.float32(1.25)
    source[:, 1] = target[:, 1] = np.float32(0.1)
    source[:, 2] += np.float32(50)
    target[:, 2] += np.float32(50)
    return source.astype(np.float64), target.astype(np.float64)


def fitted(source, target, penalty):
    x = np.concatenate([source, target])
    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation <= 1e-12 * np.abs(mean)] = 1
    labels = np.array([1] * len(source) + [0] * len(target))
    model = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-14, solver="newton-cholesky", max_iter=1000)
    model.fit((x - mean) / deviation, labels)
    return lambda z: model.predict_proba((z - mean) / deviation)[:, 1]


def classifier(penalty):
    source, target = features()
    probabilities = fitted(source, target, penalty)
    of_source = probabilities(source)
    ratios = SOURCE / TARGET * (1 - of_source) / of_source
    return {"penalty": penalty, "target": probabilities(target).tolist(), "ratios": ratios.tolist()}


def a_distance(penalty):
    source, target = features()
    probabilities = fitted(source[::2], target[::2], penalty)
    error = ((probabilities(source[1::2]) < 0.5).mean() + (probabilities(target[1::2]) >= 0.5).mean()) / 2
    return {"error": error, "distance": 2 * (1 - 2 * error)}


if __name__ == "__main__":
    main()
