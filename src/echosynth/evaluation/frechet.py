"""Distances between two sets of feature vectors: Frechet (FID) and kernel (KID)."""

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float64]
BLOCK = 10_000  # rows of a kernel matrix at a time: 0.8 GB


def _root(matrix: Features) -> Features:
    """Symmetric square root of a positive semi-definite matrix; negative eigenvalues from rounding count as 0."""
    values, vectors = np.linalg.eigh(matrix)
    root: Features = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root


def frechet_distance(a: Features, b: Features) -> float:
    """Frechet distance between Gaussians fitted to two sets (Dowson & Landau 1982; FID: Heusel et al. 2017, eq. 6).

    |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2); the trace of the root is the sum of the roots of the
    eigenvalues of a symmetric matrix, so that no imaginary part can appear. With centred features A and B, S_a = A^T A
    and S_b = B^T B, it is the sum of the singular values of A B^T too, which is quicker where there are fewer images
    than features. It is biased upwards for small sets: compare with a floor at the same size.

    Args:
        a: (N, D) features, N of 2 or more.
        b: (M, D) features.

    Returns:
        The distance, 0 or more.
    """
    if max(len(a), len(b)) < a.shape[1]:
        return _few(a, b)
    root = _root(np.cov(a, rowvar=False))
    cov_b = np.cov(b, rowvar=False)
    middle = np.linalg.eigvalsh(root @ cov_b @ root).clip(min=0)
    shift = a.mean(0) - b.mean(0)
    return float(max(0.0, shift @ shift + np.trace(root @ root) + np.trace(cov_b) - 2 * np.sqrt(middle).sum()))


def _few(a: Features, b: Features) -> float:
    """Frechet distance of fewer images than features."""
    centred = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b)]
    shift, root = a.mean(0) - b.mean(0), np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    return float(max(0.0, shift @ shift + sum((x**2).sum() for x in centred) - 2 * root))


def kernel_distance(a: Features, b: Features) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3 (KID: Binkowski et al. 2018, eq. 4).

    Args:
        a: (N, D) features, N of 2 or more.
        b: (M, D) features, M of 2 or more.

    Returns:
        The estimate: around 0 for equal distributions, and then negative about half of the time.
    """

    def kernel(x: Features, y: Features) -> Features:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def total(x: Features, y: Features, same: bool) -> float:
        """Sum the kernel over all pairs, those of an image with itself left out."""
        sums = []
        for i in range(0, len(x), BLOCK):
            for j in range(0, len(y), BLOCK):
                part = kernel(x[i : i + BLOCK], y[j : j + BLOCK])
                sums.append(part.sum() - (np.trace(part) if same and i == j else 0.0))
        return sum(sums[1:], sums[0])

    n, m = len(a), len(b)
    within = total(a, a, True) / (n * (n - 1)) + total(b, b, True) / (m * (m - 1))
    return float(within - 2 * (total(a, b, False) / (n * m)))
