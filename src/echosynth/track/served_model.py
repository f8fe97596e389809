"""The classifier as MLflow serves it. MLflow runs this file ("model from code"): nothing is pickled."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np


class ServedClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow is not typed for us
    """Grey frames in, probabilities of the views out."""

    def load_context(self, context: Any) -> None:
        """Load the network from the folder that was logged with the model."""
        from echosynth.classify.predict import ViewClassifier

        self.classifier = ViewClassifier(Path(context.artifacts["classifier"]))

    # No hints: MLflow would take them for a schema, in place of the signature that the model is logged with.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Classify frames.

        Args:
            context: unused.
            model_input: (N, H, W) uint8 grey frames of any size.
            params: unused.

        Returns:
            (N, 4) float32 probabilities in the order of `echosynth.views.VIEWS`.
        """
        frames = np.asarray(model_input, dtype=np.uint8)
        return np.asarray(self.classifier.probabilities(list(frames)), dtype=np.float32)


mlflow.models.set_model(ServedClassifier())
