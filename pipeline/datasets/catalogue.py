"""Data sets by name; a new one is a file in sets/ and a line here."""

from pipeline.datasets.contract import DataSet
from pipeline.datasets.sets.celeba import CelebA
from pipeline.datasets.sets.cifar10 import CIFAR10
from pipeline.datasets.sets.df2k import DF2K
from pipeline.datasets.sets.lol import LOL
from pipeline.datasets.sets.lol_v2 import LOLv2
from pipeline.datasets.sets.noise import Noise
from pipeline.datasets.sets.picture_folders import Places, Textures, TinyImageNet
from pipeline.datasets.sets.pictures import Pictures
from pipeline.datasets.sets.svhn import SVHN
from pipeline.datasets.sets.ve_lol import VELOL

DATASETS: dict[str, DataSet] = {
    data_set.name: data_set
    for data_set in (
        Pictures(),
        DF2K(),
        CelebA(),
        LOL(),
        LOLv2(),
        VELOL(),
        CIFAR10(),
        SVHN(),
        Textures(),
        Places(),
        TinyImageNet(),
        Noise("uniform"),
        Noise("gaussian"),
        Noise("rademacher"),
    )
}
