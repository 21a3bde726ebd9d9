"""Classes of images from a file that holds a compiled network."""

from openwork.predict.predict import Prediction as Prediction
from openwork.predict.predict import predict as predict

__all__ = ["Prediction", "predict"]
