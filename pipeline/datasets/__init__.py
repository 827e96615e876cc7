"""Data sets by name; a new one is a file beside this one and a line here."""

from pipeline.datasets.contract import DataSet
from pipeline.datasets.df2k import DF2K

DATASETS: dict[str, DataSet] = {data_set.name: data_set for data_set in (DF2K(),)}
