"""Effects of all instruments: blur, illumination, noise, bars, and conversion to 8 bits."""

from __future__ import annotations

import cv2
import numpy as np


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; a wide one is computed on a reduced image, which is faster."""
    if sigma < 0.25:
        return image
    if sigma <= 6:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    factor = int(sigma // 3)
    h, w = image.shape
    small = cv2.resize(
        image, (max(w // factor, 2), max(h // factor, 2)), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)


def texture(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise (H, W) float32 of unit standard deviation and grain size of about `sigma` px."""
    factor = max(int(sigma // 2), 1)
    small = rng.standard_normal((shape[0] // factor + 3, shape[1] // factor + 3), np.float32)
    small = cv2.GaussianBlur(small, (0, 0), max(sigma / factor, 0.3))
    full = cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return (full - full.mean()) / (full.std() + 1e-6)


def gradient(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Uneven illumination (H, W) float32 in about [-1, 1]: a plane plus a vignette."""
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    a, b, c, r, s = (np.float32(v) for v in rng.normal(size=5) * (0.5, 0.5, 0.4, 0.4, 0.4))
    return a * x + b * y + c * ((x - r) ** 2 + (y - s) ** 2)


def record(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    invert: float = 0.15,
    noise: float = 1.0,
    softness: float = 1.0,
) -> np.ndarray:
    """Convert an ideal float image to an image (H, W) uint8 with the effects of a camera.

    `invert` is the probability of inverted contrast; `noise` and `softness` are factors on the
    usual noise and blur.
    """
    image = image.astype(np.float32)
    low, high = np.percentile(image, (0.5, 99.5))
    image = (image - low) / max(high - low, 1e-3)
    if rng.random() < 0.5:
        image = image + rng.uniform(0, 0.35) * gradient(image.shape, rng)
    image = blur(image, softness * rng.choice((0.0, 0.5, 0.8, 1.2, 2.0)))
    image = _noisy(image, noise * float(np.exp(rng.uniform(np.log(0.01), np.log(0.3)))), rng)
    image = blur(image, float(rng.choice((0.0, 0.0, 0.5, 0.8))))
    if rng.random() < invert:
        image = -image
    return _to_uint8(image, rng)


def _noisy(image: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Add shot noise (square root of the signal) and read noise, and sometimes scan lines."""
    share = rng.random()
    shot = np.sqrt(np.clip(image, 0.02, None)) * share + (1 - share)
    out = image + np.float32(level) * shot * rng.standard_normal(image.shape, np.float32)
    if rng.random() < 0.1:
        out = out + rng.uniform(0, 0.08) * rng.standard_normal((image.shape[0], 1), np.float32)
    return out


def bar(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a data or scale bar on a (H, W) uint8 image; returns also its mask, (H, W) bool."""
    h, w = image.shape
    image, hidden = image.copy(), np.zeros(image.shape, bool)
    ink = int(rng.choice((0, 255)))
    if rng.random() < 0.4:
        top = int(h * rng.uniform(0.88, 0.96))
        image[top:], hidden[top:] = int(rng.integers(0, 255)), True
        for _ in range(int(rng.integers(3, 12))):
            c = int(rng.integers(0, max(w - 12, 1)))
            image[top + (h - top) // 3 : h - 3, c : c + int(rng.integers(2, 9))] = ink
        return image, hidden
    r, c = int(h * rng.uniform(0.8, 0.95)), int(w * rng.uniform(0.03, 0.6))
    where = (slice(r, r + int(rng.integers(2, 6))), slice(c, c + int(w * rng.uniform(0.1, 0.35))))
    image[where], hidden[where] = ink, True
    return image, hidden


def _to_uint8(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Percentile stretch as in the plugin, sometimes with a narrower range or a gamma."""
    low, high = np.percentile(image, (0.1, 99.9))
    image = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    if rng.random() < 0.3:
        image = image ** np.float32(np.exp(rng.uniform(-0.6, 0.6)))
    if rng.random() < 0.25:
        span = rng.uniform(0.3, 0.9)
        image = rng.uniform(0, 1 - span) + span * image
    return np.round(255 * image).astype(np.uint8)
