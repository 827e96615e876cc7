"""All studies; to add one: its folder, its line in STUDIES, its stage. Loads nothing heavy."""

from pipeline.studies.checkerboard.study import Checkerboard
from pipeline.studies.classifier.study import Classifier
from pipeline.studies.contract import Study
from pipeline.studies.density.study import Density
from pipeline.studies.depth_error.study import DepthError
from pipeline.studies.flow_gan.study import FlowGan
from pipeline.studies.regression.study import Regression
from pipeline.studies.toy2d.study import Toy2d

STUDIES: dict[str, type[Study]] = {
    study.name: study for study in (Toy2d, DepthError, Checkerboard, Regression, Density, Classifier, FlowGan)
}

__all__ = ["STUDIES", "Study"]
