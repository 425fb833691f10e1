"""What the trainings of these tests tell of themselves (`site`); it needs no SLURM."""

from tests.slurm.study import METHODS, NUM_STEPS, TRAINED, Study


def test_every_training_tells_when_it_starts_and_ends(tmp_path):
    study = Study(tmp_path, ("--cores", "2"))
    try:
        assert study.make("--", *TRAINED) == 0, study.output()
    finally:
        study.kill()
    events = study.events()
    assert sorted(events) == sorted(f"digits.lenet_3c1l.{method}.seed0" for method in METHODS)
    for first, *_, last in events.values():
        assert (first["event"], first["step"]) == ("start", 0)
        assert (last["event"], last["step"]) == ("finish", NUM_STEPS)
