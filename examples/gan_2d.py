"""A generative adversarial network (Goodfellow et al., 2014) on eight Gaussians around a circle.

What one learns: two models train against each other. The discriminator tells real points from made ones
(`train_on_batch`); its `vjp` gives the gradient with respect to its *inputs*, which are the generator's outputs, so
that the generator's `vjp` carries it on to the generator's weights and `apply_gradients` makes the step. `params` is
one vector, so to average the generator's weights, for steadier samples, takes one line.
"""

import argparse
import time

import numpy as np

import fastbp

MODES, RADIUS, DEVIATION = 8, 2.0, 0.15
NOISE, BATCH_SIZE = 4, 256
ANGLES = 2 * np.pi * np.arange(MODES) / MODES
CENTRES = RADIUS * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


def real_points(rng, n):
    """x (n, 2), each from one of the modes."""
    return (CENTRES[rng.integers(MODES, size=n)] + DEVIATION * rng.normal(size=(n, 2))).astype("float32")


def network(outputs, inputs, seed):
    hidden = [fastbp.Dense(64, activation="relu") for _ in range(2)]
    return fastbp.Sequential([*hidden, fastbp.Dense(outputs)], input_shape=(inputs,), seed=seed)


def make_models():
    generator, discriminator = network(2, NOISE, 0), network(1, 2, 1)
    generator.compile(fastbp.Adam(1e-3, beta_1=0.5), "mean_squared_error")  # not used: its loss is the other's answer
    discriminator.compile(fastbp.Adam(3e-3, beta_1=0.5), fastbp.BinaryCrossentropy(from_logits=True))
    return generator, discriminator


def train(generator, discriminator, steps, rng):
    """Alternate steps of both models; return the average of the generator's weights."""
    labels = np.repeat([1.0, 0.0], BATCH_SIZE)
    average = generator.params.copy()
    for _ in range(steps):
        # The discriminator: 1 for real points, 0 for made ones.
        z = rng.normal(size=(BATCH_SIZE, NOISE)).astype("float32")
        made = generator.predict(z)
        discriminator.train_on_batch(np.concatenate([real_points(rng, BATCH_SIZE), made]), labels)
        # The generator: loss = -log(sigmoid(logit)) of its points, whose derivative is sigmoid(logit) - 1.
        logits = discriminator.predict(made)
        dmade = discriminator.vjp(made, (1 / (1 + np.exp(-logits)) - 1) / BATCH_SIZE)
        generator.vjp(z, dmade)
        generator.apply_gradients()
        average += 0.002 * (generator.params - average)
    return average


def quality(points):
    """The share of points within three standard deviations of a mode, and how many modes have 2 % of the points."""
    distances = np.linalg.norm(points[:, None] - CENTRES, axis=2)
    near = distances.min(axis=1) < 3 * DEVIATION
    counts = np.bincount(distances.argmin(axis=1)[near], minlength=MODES)
    return near.mean(), int((counts > 0.02 * len(points)).sum())


def picture(points, width=48, height=22):
    """A histogram of points in text."""
    counts, _, _ = np.histogram2d(-points[:, 1], points[:, 0], [height, width], [[-2.6, 2.6]] * 2)
    shades = np.array(list(" .:*#"))
    return "\n".join("".join(row) for row in shades[np.digitize(counts, [1, 3, 9, 27])])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of 1,000 steps")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    generator, discriminator = make_models()
    z = rng.normal(size=(4000, NOISE)).astype("float32")
    started = time.perf_counter()
    for number in range(1, arguments.rounds + 1):
        average = train(generator, discriminator, 1000, rng)
        last = generator.params.copy()
        generator.params[:] = average
        points = generator.predict(z)
        generator.params[:] = last
        share, modes = quality(points)
        print(f"{1000 * number} steps: {share:.0%} of the points within 3 deviations, {modes} of {MODES} modes")
    print(f"{time.perf_counter() - started:.1f} s, with compilation where the kernels were not there yet")
    print(picture(points))
    if arguments.rounds >= 3:
        assert share > 0.85
        assert modes == MODES


if __name__ == "__main__":
    main()
