"""Tables of what is measured only where an exhibit is made from it."""

from awnlib.results.columns import COLLECTED
from awnlib.studies.widths.config import parse_study
from awnlib.studies.widths.stages import jobs


def test_a_study_without_such_an_exhibit_has_neither_job_nor_table(study_data):
    study = parse_study(study_data)
    assert jobs(study)["measure_residuals"] == {}
    assert study.on_demand == []
    assert study.collected == [f"{name}.parquet" for name in COLLECTED]
