"""Answer matrices: what each model answered to each row of a data set, in one Parquet file.

A matrix is made once (``testbed models record``) and read often: recorded tiers and ``testbed what-if`` need
no model. docs/MODELS.md describes every column and every field of the header.
"""

from testbed.scenario.matrix.header import DatasetRows, Flips, Header, ModelRecord, ServiceTimes, TaskOf
from testbed.scenario.matrix.matrix import Matrix, ModelAnswers, prompt_key
from testbed.scenario.matrix.read import matrix_at, read_header, read_matrix
from testbed.scenario.matrix.write import write_matrix

__all__ = [
    "DatasetRows",
    "Flips",
    "Header",
    "Matrix",
    "ModelAnswers",
    "ModelRecord",
    "ServiceTimes",
    "TaskOf",
    "matrix_at",
    "prompt_key",
    "read_header",
    "read_matrix",
    "write_matrix",
]
