# The prepared images as the jobs of either kind of study see them. Their file is `ancient`: jobs follow its content, which
# stands in a small file beside it, and not its time. The rule that prepares them is a checkpoint, so that jobs look at
# the content again as soon as it has run.
from awnlib.data.prepared import asked_files, read_contents
from awnlib.data.source_files import data_folder


def image_settings(wildcards):
    """The settings of a data set to prepare."""
    return find(IMAGES, wildcards.dataset, "data set")


def contents_file(name):
    """What is known of a prepared data set."""
    return STUDY.results / f"data/{name}.json"


def files_of(name, settings):
    """Changes with the files that a data set is read from: a change here prepares it again."""
    return asked_files(contents_file(name), settings, data_folder(STUDY.data_folder))


def prepared(name):
    """The files of a data set, as inputs."""
    return {
        "data": ancient(f"<results>/data/{name}.safetensors"),
        "contents": ancient(f"<results>/data/{name}.json"),
    }


def contents_of(name, *parts):
    """Digests of the parts of a data set that a job reads: a change here does the job again."""
    known = read_contents(contents_file(name))
    return [known.get(part) for part in parts]
