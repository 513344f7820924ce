"""How gradients become new weights.

The update rules are bert4keras' classes. Two things are ours. Adam alone, with or without weight decay,
runs through TensorFlow's fused kernel, which takes well under half the time. And lookahead, because
bert4keras starts the slow weights at 0 and mixes them in at the first update, which halves every weight.
Its gradient accumulation, piecewise-linear rate and average are left out too: the training loop
accumulates and sets the rate, and the average of bert4keras has no warm start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nlpkit.bert import backend
from nlpkit.bert.resumable import Resumable, checked_names

LOOKAHEAD_STEPS, LOOKAHEAD_RATE = 5, 0.5
# The usual betas. AdaFactor keeps no momentum, and None lets its second moment's decay grow with time.
_BETAS: dict[str, tuple[float, float | None]] = {
    "adam": (0.9, 0.999),
    "lion": (0.95, 0.98),
    "adafactor": (0.0, None),
}
OPTIMIZERS = tuple(_BETAS)
# Searched in the names of variables: what is neither decayed nor adapted, and what lazy updates leave alone.
_BIAS_OR_NORM = r"(^|[/_])(bias|gamma|beta)(:\d+)?$"
_EMBEDDINGS = r"embeddings(:\d+)?$"
_MIN_FACTORED = 128  # AdaFactor keeps the whole second moment of matrices narrower than this


@dataclass(frozen=True)
class OptimizerSettings:
    """Which rule turns gradients into updates.

    Attributes:
        name: `adam`, `adafactor` or `lion`.
        learning_rate: > 0; a schedule multiplies it. AdaFactor also multiplies each update by the root
            mean square of the weights that it moves.
        beta_1: decay of the first moment, in [0, 1); None is the usual one of the optimizer.
        beta_2: decay of the second moment, in [0, 1); None is the usual one.
        epsilon: > 0; what Adam adds to the root of the second moment. The others do not use it.
        weight_decay: share of a weight, times the learning rate, that each step takes off. Biases and
            the gammas and betas of layer normalisation keep theirs.
        layer_adaptation: LAMB: each update is made as long as the weights that it moves, times the
            rate. Biases and layer normalisation are exempt.
        lookahead: after every 5 updates go back half the way.
        lazy: rows of embeddings without gradient stay where they are, though their moments fade. Where
            the token embedding is also the output layer, every row has a gradient.
        relative_steps: AdaFactor's own learning rate, min(0.01, 1 / sqrt(t)), which learning_rate
            then multiplies.

    Raises:
        ValueError: a value is out of range, or two of them do not go together.
    """

    name: str = "adam"
    learning_rate: float = 1e-4
    beta_1: float | None = None
    beta_2: float | None = None
    epsilon: float = 1e-6
    weight_decay: float = 0.0
    layer_adaptation: bool = False
    lookahead: bool = False
    lazy: bool = False
    relative_steps: bool = False

    def __post_init__(self) -> None:
        """Refuse what no optimizer can do."""
        if self.name not in OPTIMIZERS:
            raise ValueError(f"unknown optimizer {self.name!r}; known: {', '.join(OPTIMIZERS)}")
        for name in ("learning_rate", "weight_decay", "epsilon"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0) or (value == 0 and name != "weight_decay"):
                raise ValueError(f"{name} is {value:g}, which is out of range")
        for name in ("beta_1", "beta_2"):
            beta = getattr(self, name)
            if beta is not None and not 0 <= beta < 1:
                raise ValueError(f"{name} is {beta:g}, which is not in [0, 1)")
        if self.relative_steps and self.name != "adafactor":
            raise ValueError("relative steps are for adafactor only")
        if self.layer_adaptation and self.name == "adafactor":
            raise ValueError("layer adaptation and adafactor do not go together: both scale by the weights")

    @property
    def betas(self) -> tuple[float, float | None]:
        """The two betas, the usual ones where none are given."""
        usual_1, usual_2 = _BETAS[self.name]
        return (
            usual_1 if self.beta_1 is None else self.beta_1,
            usual_2 if self.beta_2 is None else self.beta_2,
        )

    def num_bytes(self, shapes: Iterable[Sequence[int]]) -> int:
        """Return the memory of the optimizer's state for variables of these shapes, without building it."""
        numbers = 0
        for shape in shapes:
            size = math.prod(shape)
            if self.name == "adafactor":
                numbers += _second_moment_size(shape) + (size if self.betas[0] else 0)
            else:
                numbers += size * (2 if self.name == "adam" else 1)
            numbers += size if self.lookahead else 0
        return 4 * numbers + 8  # float32, and the count of updates


class Optimizer(Resumable):
    """Applies gradients to variables.

    Create it when the variables hold the weights that training starts from: lookahead starts there.
    """

    def __init__(
        self, settings: OptimizerSettings, variables: Sequence[Any], names: Sequence[str] | None = None
    ) -> None:
        """Make the state for these variables.

        Args:
            variables: float32 tf.Variables.
            names: what the state calls them; by default their positions.

        Raises:
            ValueError: not every variable has a name of its own.
        """
        tf = backend.tensorflow()
        self._variables = list(variables)
        self._optimizer = _build(settings)
        self._optimizer._create_all_weights(self._variables)
        self._slow: list[Any] = []
        if settings.lookahead:
            self._slow = [tf.Variable(v.read_value(), trainable=False) for v in self._variables]
        self._state = self._named_state(checked_names(names, self._variables))
        self._update_function = tf.function(self._update, autograph=False)

    @property
    def updates(self) -> int:
        """How often gradients were applied."""
        return int(self._optimizer.iterations.numpy())

    def apply(self, gradients: Sequence[Any], learning_rate: Any) -> None:
        """Update the variables once, in eager mode or inside a tf.function.

        Args:
            gradients: one for each variable: a tensor, tf.IndexedSlices, or None for a variable to
                leave alone.
            learning_rate: a scalar, used as it is.
        """
        tf = backend.tensorflow()
        dense = [
            _dense(gradient, variable) for gradient, variable in zip(gradients, self._variables, strict=True)
        ]
        self._update_function(dense, tf.convert_to_tensor(learning_rate, tf.float32))

    def _named_state(self, names: Sequence[str]) -> dict[str, Any]:
        state = {"updates": self._optimizer.iterations}
        for name, variable in zip(names, self._variables, strict=True):
            for slot in self._optimizer.get_slot_names():
                with suppress(KeyError):  # AdaFactor's slots differ from variable to variable
                    state[f"{name}/{slot}"] = self._optimizer.get_slot(variable, slot)
        state |= {f"{name}/slow": slow for name, slow in zip(names, self._slow, strict=False)}
        return state

    def _update(self, gradients: list[Any], learning_rate: Any) -> None:
        tf = backend.tensorflow()
        pairs = zip(gradients, self._variables, strict=True)
        self._optimizer.given_rate = learning_rate
        self._optimizer.apply_gradients([(g, v) for g, v in pairs if g is not None])
        if self._slow:
            turn = tf.equal(self._optimizer.iterations % LOOKAHEAD_STEPS, 0)
            tf.cond(turn, self._look_ahead, tf.no_op)

    def _look_ahead(self) -> Any:
        tf = backend.tensorflow()
        for slow, fast in zip(self._slow, self._variables, strict=True):
            slow.assign_add(LOOKAHEAD_RATE * (fast - slow))
            fast.assign(slow)
        return tf.no_op()


def _build(settings: OptimizerSettings) -> Any:
    """Compose bert4keras' classes; each new one sees the update that those before it have made."""
    b4k = backend.bert4keras("optimizers")
    beta_1, beta_2 = settings.betas
    if settings.name == "adafactor":
        # Its learning_rate property makes a new variable at every read unless it is None.
        base = b4k.AdaFactor
        options: dict[str, Any] = {"learning_rate": None, "beta1": beta_1, "beta2": beta_2}
    else:
        base = b4k.Adam if settings.name == "adam" else b4k.LionV2
        options = {"beta_1": beta_1, "beta_2": beta_2}
    if settings.name == "adam":
        options["epsilon"] = settings.epsilon
    if settings.name == "adam" and not (settings.layer_adaptation or settings.lazy):
        base = _fused_adam(base, settings.weight_decay)
    elif settings.weight_decay:
        base = b4k.extend_with_weight_decay(base)
        options |= {"weight_decay_rate": settings.weight_decay, "exclude_from_weight_decay": [_BIAS_OR_NORM]}
    if settings.layer_adaptation:
        base = b4k.extend_with_layer_adaptation(base)
        options["exclude_from_layer_adaptation"] = [_BIAS_OR_NORM]
    if settings.lazy:
        base = b4k.extend_with_lazy_optimization(base)
        options["include_in_lazy_optimization"] = [_EMBEDDINGS]
    return _with_given_rate(base, settings.relative_steps)(**options)


def _with_given_rate(base: Any, relative_steps: bool) -> Any:
    """Make a class whose learning rate is the attribute `given_rate`."""

    class GivenRate(base):  # type: ignore[misc]
        given_rate: Any = None

        def _decayed_lr(self, _dtype: Any) -> Any:
            return self.given_rate * self.learning_rate if relative_steps else self.given_rate

    return GivenRate


def _fused_adam(adam: Any, weight_decay: float) -> Any:
    """Make bert4keras' Adam pass over the memory once instead of operation by operation."""
    tf = backend.tensorflow()
    excluded = backend.bert4keras("snippets").string_matching

    class FusedAdam(adam):  # type: ignore[misc]
        def _resource_apply_dense(self, grad: Any, var: Any) -> Any:
            rate = self._decayed_lr(tf.float32)
            if weight_decay and not excluded(var.name, [_BIAS_OR_NORM]):
                var.assign_sub(rate * weight_decay * var)
            beta_1, beta_2 = (self._get_hyper(name, tf.float32) for name in ("beta_1", "beta_2"))
            step = tf.cast(self.iterations + 1, tf.float32)
            power_1, power_2 = beta_1**step, beta_2**step
            return tf.raw_ops.ResourceApplyAdam(
                var=var.handle,
                m=self.get_slot(var, "m").handle,
                v=self.get_slot(var, "v").handle,
                beta1_power=power_1,
                beta2_power=power_2,
                lr=rate,
                beta1=beta_1,
                beta2=beta_2,
                # The kernel adds epsilon before it corrects the second moment's bias, bert4keras after.
                epsilon=self.epsilon * tf.sqrt(1 - power_2),
                grad=grad,
            )

    return FusedAdam


def _dense(gradient: Any, variable: Any) -> Any:
    """Return a gradient as a tensor of the variable's shape, or None."""
    tf = backend.tensorflow()
    if isinstance(gradient, tf.IndexedSlices):
        return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, variable.shape[0])
    return gradient


def _second_moment_size(shape: Sequence[int]) -> int:
    """Count the numbers that AdaFactor keeps for the second moment of a variable."""
    size, sides = math.prod(shape), sorted(shape)
    if len(sides) < 2 or sides[-2] < _MIN_FACTORED:
        return size
    return size // sides[-1] + size // sides[-2]
