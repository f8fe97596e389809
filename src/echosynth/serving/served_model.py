"""The classifier as MLflow serves it. MLflow runs this file ("model from code"): nothing is pickled.

    mlflow models serve -m models:/echo-view-classifier@champion --env-manager local --port 8000

answers at /invocations. An input is a picture in numbers, grey (H, W) or RGB (H, W, 3), of any size, or a PNG, JPEG,
DICOM, AVI or MP4 file in base64. All forms mix within a request; a batch of frames is a plain tensor of numbers:

    {"inputs": [{"image": [[0, 12], [255, 7]]}, {"file": "iVBORw0KGgo..."}, [[3, 4], [5, 6]]]}
    {"predictions": [{"view": "A4C", "A2C": 0.08, "A4C": 0.81, "PLAX": 0.04, "PSAX": 0.07,
                      "frames": 1, "chosen": 1, "total": 1}, ...]}

A file on the command line:

    (printf '{"inputs": [{"file": "'; base64 -w0 clip.dcm; printf '"}]}') |
        curl 127.0.0.1:8000/invocations -H 'Content-Type: application/json' --data-binary @-

A wrong request is answered with status 400 and one sentence, and one wrong input refuses the request. Files are decoded
in a child process within the limits of the model's configuration (`echosynth.media.options`). MLflow's server reads
requests of any size; `echosynth serve` does not. MLflow itself answers 500 where the header Content-Type is missing.

When it is loaded it checks its own files against their list (`echosynth.serving.manifest`), and the list against the
registry where the variable MLFLOW_TRACKING_URI names one that answers. So it notices whatever was damaged or edited by
somebody who did not know of the check. It is no lock: this file and those of the package that it imports before the
check could be edited themselves, and whoever writes the artifact store runs code where a model is served.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.yaml_utils import read_yaml
from pydantic import BaseModel

from echosynth.common.errors import EchosynthError
from echosynth.serving.manifest import PACKAGE_SHA, REGISTERED_AS, check_package


class Input(BaseModel):
    """One of both: a picture, or a file in base64."""

    image: list[list[Any]] | None = None
    file: str | None = None


class Prediction(BaseModel):
    """The most probable view, and the probabilities by name; see `echosynth.serving.served_requests.answers`."""

    view: str
    A2C: float
    A4C: float
    PLAX: float
    PSAX: float
    frames: int
    chosen: int
    total: int


class Refused(MlflowException):  # type: ignore[misc]  # mlflow is not typed for us
    """A wrong request. The server would write all that was sent in front of the sentence; this one keeps its words."""

    @property
    def message(self) -> str:
        """The sentence."""
        return str(self.args[0])

    @message.setter
    def message(self, text: str) -> None:
        pass


def registered_sha(package: Path) -> str | None:
    """Hash of the list of files as the registry has it; None for what comes from no registry, for a version from before
    there was one, and where no store is named or it does not answer, which the log says."""
    if not (package / REGISTERED_AS).is_file() or not mlflow.is_tracking_uri_set():
        return None
    version = read_yaml(str(package), REGISTERED_AS)
    try:
        found = mlflow.MlflowClient().get_model_version(version["model_name"], str(version["model_version"]))
    except MlflowException:
        logging.getLogger(__name__).warning(
            "the registry does not answer: the files of the model are checked against their own list alone"
        )
        return None
    sha: str | None = found.tags.get(PACKAGE_SHA)
    return sha


class ServedClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Pictures and files in, views and probabilities out.

    The hints of `predict` are the signature that MLflow stores and shows. Its own checks against them are off:
    they repeat the whole request in their message, and know no plain pictures.
    """

    _skip_type_hint_validation = True

    def load_context(self, context: Any) -> None:
        """Check the files of the model, then load the network from the folder that was logged with it.

        Raises:
            EchosynthError: a file was changed, added or removed since the model was registered.
        """
        package = Path(__file__).parent
        check_package(package, "the served model", registered_sha(package))
        from echosynth.media.options import DecodingParams
        from echosynth.serving.view_classifier import ViewClassifier  # the rest of the code, which is checked now

        logging.getLogger("mlflow.models.utils").setLevel(logging.ERROR)  # its warnings quote requests
        warnings.filterwarnings("ignore", module="pydicom")  # so do these; decoders' own filters know no threads
        self.classifier = ViewClassifier(Path(context.artifacts["classifier"]))
        self.limits = DecodingParams.model_validate(dict(context.model_config))

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
            return answers(self.classifier, model_input, self.limits)  # type: ignore[return-value]  # plain mappings, for JSON
        except EchosynthError as error:
            raise Refused.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(ServedClassifier())
