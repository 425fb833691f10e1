"""One training run: everything it depends on, apart from the images themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from awnlib.settings import Settings
from awnlib.tasks import TaskName, TaskSettings, check_distance
from awnlib.training.methods import FOR_READERS, Method

NumEpochs = Annotated[int, Field(ge=1, description="passes over the training images")]
LearningRate = Annotated[float, Field(gt=0, description="learning rate at the start")]
Nesterov = Annotated[bool, Field(description="Nesterov's momentum")]
WeightDecay = Annotated[float, Field(ge=0, description="weight decay (the factor in the gradient)")]
WeightDecayOn = Annotated[
    Literal["all", "weights", "weights_not_depthwise"],
    Field(description="every parameter, convolution and linear weights only, or these but for depthwise convolutions"),
]
Schedule = Annotated[
    Literal["multistep", "linear", "cosine", "constant"],
    Field(
        description="lr falls at the milestones, in every step (evenly, or as half a cosine; down to 0, or to `lr_end` "
        "in a search), or never"
    ),
]


class SGDConfig(Settings):
    """Hyper-parameters of whatever is trained by SGD, a network or the one of a search for widths."""

    num_epochs: NumEpochs = 20
    batch_size: int = Field(
        default=128, ge=2, description="images per step; an epoch's last, smaller batch is left out"
    )
    lr: LearningRate = 0.01
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum of SGD")
    nesterov: Nesterov = False
    weight_decay: WeightDecay = 0.0
    weight_decay_on: WeightDecayOn = "all"
    schedule: Schedule = "multistep"
    warmup_epochs: int = Field(default=0, ge=0, description="epochs at the start in which lr rises linearly from 0")
    milestones: list[float] = Field(
        default_factory=lambda: [0.5, 0.75],
        description="multistep: fractions of the training at which lr falls",
    )
    gamma: float = Field(default=0.1, gt=0, le=1, description="multistep: factor of the learning rate at a milestone")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="bfloat16: autocast of the forward passes; far slower on a CPU without instructions for it, which "
        "is said before training",
    )
    num_workers: int = Field(
        default=0, ge=0, description="processes that read the images of a streamed data set, for each training process"
    )

    @field_validator("milestones")
    @classmethod
    def _rising_fractions(cls, value: list[float]) -> list[float]:
        if sorted(set(value)) != value or any(not 0 < fraction < 1 for fraction in value):
            raise ValueError(f"milestones must rise within (0, 1), found {value}")
        return value

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_epochs >= self.num_epochs:
            raise ValueError(
                f"warmup_epochs must be less than num_epochs ({self.num_epochs}), found {self.warmup_epochs}"
            )
        return self

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class TrainConfig(SGDConfig):
    """Hyper-parameters of one training run. Defaults: Any-Width Networks, section 5.1, LeNet-3C1L."""

    optimizer: Literal["sgd", "adam"] = Field(
        default="sgd",
        description="adam: with `momentum` as the first beta, 0.999 as the second, and weight decay in the gradient",
    )
    epsilon: float = Field(default=1e-8, gt=0, description="adam: what is added to the root of the second moment")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="share of a label that is spread over all classes"
    )
    held_out: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the training images, of each class alike, that is not trained with, for what is chosen "
        "after training",
    )
    compile: bool = Field(
        default=False,
        description="torch.compile; one graph for any-width networks, one for each width of others, whose widths must "
        "be fixed",
    )
    num_processes: int = Field(
        default=1,
        ge=1,
        description="processes that share every batch, on a GPU a device for each; BN sees their shares",
    )

    @model_validator(mode="after")
    def _adam_has_no_nesterov(self) -> TrainConfig:
        if self.optimizer == "adam" and self.nesterov:
            raise ValueError("nesterov is an option of optimizer 'sgd'")
        return self

    @model_validator(mode="after")
    def _processes_share_a_batch(self) -> TrainConfig:
        if self.batch_size % self.num_processes or self.batch_size < 2 * self.num_processes:
            raise ValueError(
                f"num_processes must divide batch_size ({self.batch_size}) into equal shares of 2 images or more, "
                f"found {self.num_processes}"
            )
        return self


class ModelConfig(Settings):
    """Options of a model, whatever the method."""

    divisor: int = Field(default=1, ge=1, description="active channel counts are multiples of this")
    base_width_mult: float = Field(
        default=1.0, gt=0, description="channel counts relative to the plain network; the method's factor comes on top"
    )
    stem: Literal["by_size", "small", "large"] = Field(
        default="by_size",
        description="deep networks: whether the first layers keep the resolution, as for small images; by_size: up to "
        "64 pixels",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="options that only this model has, such as num_blocks of wdsr"
    )


class TrackConfig(Settings):
    """What is measured during training: BN statistics of one layer (figure 2), and gradients."""

    layer: str | None = Field(default=None, description="name of the norm layer; null: the model's last one")
    num_points: int = Field(default=100, ge=1, description="about how many iterations to record in a run")
    gradients: int = Field(
        default=0,
        ge=0,
        description="about in how many iterations to compare the gradients of the fixed widths, of which each takes a "
        "pass of its own; 0: in none",
    )


class RunConfig(Settings):
    """Everything that one training run depends on, apart from the images themselves."""

    dataset: str
    augment: str
    model: str
    model_settings: ModelConfig
    method: str
    method_settings: Method
    widths: list[float] = Field(description="fixed widths, largest first; the last one is the smallest allowed")
    individual_width: float | None = Field(default=None, description="the one width of an individually trained network")
    seed: int
    train: TrainConfig
    track: TrackConfig
    counts: dict[str, int] | None = Field(default=None, description="channels by name, in place of the model's own")
    depth_mult: int = Field(default=1, ge=1, description="blocks in each stage relative to the plain network")
    task: TaskName = Field(default="classification", description="what the network is trained for and judged by")
    task_settings: TaskSettings = Field(default_factory=Settings, description="the task's own settings")

    @model_validator(mode="after")
    def _fits_the_method(self) -> RunConfig:
        check_distance(self.task, self.method_settings.distance)
        smallest = self.method_settings.min_width_mult
        if smallest is not None and self.widths[-1] != smallest:
            raise ValueError(f"widths must end at the method's min_width_mult ({smallest}), found {self.widths}")
        return self

    @property
    def name(self) -> str:
        """The run's path below ``runs/``: dataset/model/method/seed."""
        width = "" if self.individual_width is None else f"@{self.individual_width!r}"
        return f"{self.dataset}/{self.model}/{self.method}{width}/seed{self.seed}"

    def training_settings(self) -> dict[str, Any]:
        """Return the settings that decide what is trained: not a method's name in figures, nor who reads images."""
        method = self.method_settings.chosen({*FOR_READERS, "recalibration", "slimming"})
        train = self.train.chosen({"num_workers"})
        return self.chosen({"method_settings", "train"}) | {"method_settings": method, "train": train}
