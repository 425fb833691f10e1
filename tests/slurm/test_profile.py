"""What profiles/slurm offers beyond its defaults, tried as its comments say."""

import re

from tests.slurm.study import METHODS, TRAINED


def grouped(text):
    """Return the profile with its last lines uncommented, in place of its `set-resources`."""
    settings, offer = text.split("# Several small trainings")
    settings = re.sub(r"^set-resources:\n(  .*\n)+", "", settings, flags=re.MULTILINE)
    return settings + "".join(
        f"{line[2:]}\n" for line in offer.splitlines() if re.match(r"#( {2,}| \w+[\w-]*:$)", line)
    )


def test_trainings_of_a_group_share_a_job_and_its_gpu_on_the_partition_of_the_profile(cluster, create_study):
    study = create_study(step_s=0.15)
    profile = study.folder / "profiles" / "slurm" / "profile.v9+.yaml"
    profile.write_text(grouped(profile.read_text()).replace("#  slurm_partition: gpu", "  slurm_partition: high"))
    assert study.make("--", *TRAINED) == 0, study.output()
    events = [event for events in study.events().values() for event in events]
    starts, ends = ([event["time"] for event in events if event["event"] == name] for name in ("start", "finish"))
    assert len(starts) == len(ends) == len(METHODS)
    assert max(starts) < min(ends)  # together
    (job,) = {event["job"] for event in events}
    (gpu,) = {event["gpus"] for event in events}
    assert gpu in {"0", "1", "2", "3"}
    assert cluster.run("sacct", "-n", "-X", "-P", "-o", "Partition", "-j", job).split() == ["high"]
    assert study.corrupt() == []
