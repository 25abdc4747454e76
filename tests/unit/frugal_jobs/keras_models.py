"""Small Keras models for the tests of what reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ["KERAS_BACKEND"] = "torch"

import keras
from keras import Model as Network
from keras import Sequential, layers

__all__ = ["Network", "Sequential", "convolutional", "digits_network", "layers"]


def convolutional(*, size: int = 8, classes: int = 10) -> Any:
    """Return a small functional network of images (size, size, 1) with most of the layers that matter."""
    images = layers.Input((size, size, 1))
    x = layers.Rescaling(1 / 16)(images)
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    y = layers.SeparableConv2D(32, 3, padding="same", activation="relu")(x)
    x = layers.Add()([x, y])
    x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Dense(256, activation="relu")(x)
    return Network(images, layers.Dense(classes, activation="softmax")(x))


def digits_network(training: Path) -> Any:
    """Return a network that has learnt digits well enough, in some seconds."""
    keras.utils.set_random_seed(1)
    network = convolutional()
    network.compile(optimizer=keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy")
    with np.load(training) as archive:
        network.fit(archive["x"][..., None].astype("float32"), archive["y"], epochs=12, batch_size=32, verbose=0)
    return network
