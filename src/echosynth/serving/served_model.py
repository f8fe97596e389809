"""The classifier as MLflow serves it. MLflow runs this file ("model from code"): nothing is pickled.

    mlflow models serve -m models:/echo-view-classifier@champion --env-manager local --port 8000

answers at /invocations. An input is a picture in numbers, grey (H, W) or RGB (H, W, 3), of any size, or a PNG, JPEG,
DICOM, AVI or MP4 file in base64. All forms mix within a request; a batch of frames is a plain tensor of numbers:

    {"inputs": [{"image": [[0, 12], [255, 7]]}, {"file": "iVBORw0KGgo..."}, [[3, 4], [5, 6]]]}
    {"predictions": [{"view": "A4C", "A2C": 0.08, "A4C": 0.81, "PLAX": 0.04, "PSAX": 0.07}, ...]}

A file on the command line:

    (printf '{"inputs": [{"file": "'; base64 -w0 clip.dcm; printf '"}]}') |
        curl 127.0.0.1:8000/invocations -H 'Content-Type: application/json' --data-binary @-

A wrong request is answered with status 400 and one sentence, and one wrong input refuses the request; see
`echosynth.serving.served_requests` for the limits. MLflow itself answers 500 where the header Content-Type is missing.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from pydantic import BaseModel

from echosynth.common.errors import EchosynthError


class Input(BaseModel):
    """One of both: a picture, or a file in base64."""

    image: list[list[Any]] | None = None
    file: str | None = None


class Prediction(BaseModel):
    """The most probable view, and the probabilities by name."""

    view: str
    A2C: float
    A4C: float
    PLAX: float
    PSAX: float


class Refused(MlflowException):  # type: ignore[misc]  # mlflow is not typed for us
    """A wrong request. The server would write all that was sent in front of the sentence; this one keeps its words."""

    @property
    def message(self) -> str:
        """The sentence."""
        return str(self.args[0])

    @message.setter
    def message(self, text: str) -> None:
        pass


class ServedClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Pictures and files in, views and probabilities out.

    The hints of `predict` are the signature that MLflow stores and shows. Its own checks against them are off:
    they repeat the whole request in their message, and know no plain pictures.
    """

    _skip_type_hint_validation = True

    def load_context(self, context: Any) -> None:
        """Load the network from the folder that was logged with the model."""
        from echosynth.serving.view_classifier import ViewClassifier

        logging.getLogger("mlflow.models.utils").setLevel(logging.ERROR)  # its warnings quote requests
        warnings.filterwarnings("ignore", module="pydicom")  # so do these; decoders' own filters know no threads
        self.classifier = ViewClassifier(Path(context.artifacts["classifier"]))

    def predict(self, context: Any, model_input: list[Input], params: dict[str, Any] | None = None) -> list[Prediction]:
        """Name the views.

        Args:
            context: unused.
            model_input: the list of inputs as it was sent; see `echosynth.serving.served_requests.answers`.
            params: ignored; without it MLflow would log what was sent.

        Returns:
            For each input a mapping with the fields of `Prediction`.

        Raises:
            Refused: the request is none.
        """
        from echosynth.serving.served_requests import answers

        try:
            return answers(self.classifier, model_input)  # type: ignore[return-value]  # plain mappings, for JSON
        except EchosynthError as error:
            raise Refused.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(ServedClassifier())
