"""The Dirac-GAN: the smallest GAN there is, with everything about it known.

The data are one point at 0, the generator one point at θ, the discriminator ψ·x, its
objective f(ψθ) + f(0) with f(t) = −log(1 + exp(−t)). From Mescheder, Geiger and Nowozin,
"Which training methods for GANs do actually converge?", ICML 2018 (arXiv 1801.04406),
whose signs are kept: ψ·x is the logit of *fake*, and each player moves along the field.
"""

import numpy as np

METHODS = ("gan", "non_saturating", "wgan", "wgan_gp", "r1", "consensus", "instance_noise")

# Gauss–Hermite nodes turn the expectation over instance noise into a short exact sum.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def _slope(t):
    """f'(t) = 1 / (1 + exp(t)), so f'(0) = ½. Written with tanh, it never overflows."""
    return 0.5 - 0.5 * np.tanh(t / 2)


def _curvature(t):
    """f''(t) = −f'(t) f'(−t), so f''(0) = −¼."""
    return -_slope(t) * _slope(-t)


def _check(method, gamma):
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if not np.isfinite(gamma) or gamma < 0:
        raise ValueError(f"gamma must be a finite number >= 0, got {gamma}")


def dirac_gan_field(method, theta, psi, *, gamma=1.0):
    """Return the direction (dθ, dψ) in which each player moves at (θ, ψ).

    `theta` and `psi` are numbers or arrays of one shape. `gamma` is the strength of
    the method: the weight γ of "r1" (γ/2 ψ²), of "wgan_gp" (γ/2 (|ψ| − 1)²) and of
    "consensus" (γ/2 ‖v‖²), and the standard deviation σ of "instance_noise"; the other
    methods have none. Raises ValueError for an unknown method or a negative gamma.
    """
    _check(method, gamma)
    theta, psi = np.asarray(theta, dtype=np.float64), np.asarray(psi, dtype=np.float64)
    if method == "wgan":
        return -psi, theta + 0 * psi
    if method == "wgan_gp":
        return -psi, theta - gamma * np.sign(psi) * (np.abs(psi) - 1)
    if method == "instance_noise":
        noise = gamma * _NODES
        moved = theta[..., None] + noise  # (..., nodes): where the noisy generator lands
        slope = _slope(psi[..., None] * moved)
        real_slope = _slope(-psi[..., None] * noise)
        return -psi * (slope @ _WEIGHTS), (slope * moved - real_slope * noise) @ _WEIGHTS
    product = psi * theta
    slope = _slope(product)
    generator, discriminator = -slope * psi, slope * theta
    if method == "non_saturating":
        generator = -_slope(-product) * psi
    elif method == "r1":
        discriminator = discriminator - gamma * psi
    elif method == "consensus":
        # v − γ Jᵀv, where J is the Jacobian of v: a step down the gradient of ½‖v‖²
        curve = _curvature(product)
        cross = slope + curve * product
        generator, discriminator = (
            generator - gamma * (-curve * psi**2 * generator + cross * discriminator),
            discriminator - gamma * (-cross * generator + curve * theta**2 * discriminator),
        )
    return generator, discriminator


def dirac_gan(method, *, learning_rate, steps, start=(1.0, 1.0), alternating=False, gamma=1.0):
    """Return the trajectory (steps + 1, 2) of (θ, ψ) under gradient steps from `start`.

    Both players move at once, or, with `alternating`, the generator first and the
    discriminator from where it went. `gamma` as in `dirac_gan_field`. A trajectory that
    leaves the range of float64 raises FloatingPointError with the step.
    """
    if steps < 0 or int(steps) != steps:
        raise ValueError(f"steps must be a whole number >= 0, got {steps}")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be > 0, got {learning_rate}")
    trajectory = np.empty((int(steps) + 1, 2))
    trajectory[0] = start
    for step in range(int(steps)):
        theta, psi = trajectory[step]
        d_theta, d_psi = dirac_gan_field(method, theta, psi, gamma=gamma)
        theta = theta + learning_rate * d_theta
        if alternating:
            d_psi = dirac_gan_field(method, theta, psi, gamma=gamma)[1]
        trajectory[step + 1] = theta, psi + learning_rate * d_psi
        if not np.isfinite(trajectory[step + 1]).all():
            raise FloatingPointError(
                f"the trajectory of {method!r} left the finite numbers at step {step + 1}; "
                f"choose a learning_rate below {learning_rate}"
            )
    return trajectory


def _jacobian(method, gamma):
    """The field's Jacobian at the equilibrium (0, 0), rows (dθ, dψ)."""
    slope, curve = 0.5, -0.25  # f'(0), f''(0)
    if method == "wgan_gp":
        raise ValueError(
            "method 'wgan_gp' has no eigenvalues: its field jumps at ψ = 0, so there is no "
            "Jacobian, and no convergence to (0, 0); look at its trajectory instead"
        )
    if method == "wgan":
        return np.array([[0.0, -1.0], [1.0, 0.0]])
    jacobian = np.array([[0.0, -slope], [slope, 0.0]])
    if method == "r1":
        jacobian[1, 1] = -gamma
    elif method == "instance_noise":
        jacobian[1, 1] = 2 * curve * gamma**2
    elif method == "consensus":
        jacobian = jacobian - gamma * jacobian.T @ jacobian
    return jacobian


def dirac_gan_eigenvalues(method, *, gamma=1.0, learning_rate=None, alternating=False):
    """Return the two eigenvalues (complex, sorted) that govern the motion near (0, 0).

    Without `learning_rate`, those of the gradient field's Jacobian J: gradient flow
    converges where both real parts are negative. With it, those of one step's linear
    map, I + hJ, or with `alternating` the product of the two half steps: training
    converges where both moduli are below 1. "wgan_gp" has none and raises ValueError.
    """
    _check(method, gamma)
    jacobian = _jacobian(method, gamma)
    if learning_rate is None:
        if alternating:
            raise ValueError("alternating needs a learning_rate: a flow has no order of moves")
        matrix = jacobian
    else:
        generator, discriminator = np.eye(2), np.eye(2)
        generator[0] += learning_rate * jacobian[0]
        discriminator[1] += learning_rate * jacobian[1]
        matrix = discriminator @ generator if alternating else generator + discriminator - np.eye(2)
    return np.sort_complex(np.linalg.eigvals(matrix).astype(np.complex128))
