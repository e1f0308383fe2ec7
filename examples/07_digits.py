"""A convolutional network learns to read handwritten digits, in the names of Keras.

A training step (forwards, backwards, the updates of all parameters) is one native call; the images come with
graphc.  `graphc demo` trains a larger network on larger images.

It prints:

    ...
    test accuracy: above 95 %
"""

from __future__ import annotations

from graphc import nn

images = nn.Input((1, 8, 8))
h = nn.Conv2D(16, 3, padding="same", activation="relu")(images)
h = nn.MaxPool2D(2)(h)
h = nn.Dense(64, activation="relu")(nn.Flatten()(h))
model = nn.Model(images, nn.Dense(10)(h), name="digits")
model.compile(nn.Adam(3e-3), loss="softmax_cross_entropy", metrics=["accuracy"])

if __name__ == "__main__":
    model.summary()
    (X, T), (X_test, T_test) = nn.data.digits(size=8, border=0)
    model.fit(X, T, epochs=5, batch_size=32, verbose=0)
    loss, accuracy = model.evaluate(X_test, T_test)
    print("test accuracy:", "above 95 %" if accuracy > 0.95 else f"{accuracy:.1%}")
