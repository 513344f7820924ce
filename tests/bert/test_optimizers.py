"""Every optimizer against a plain numpy twin, its memory, and its way through a break."""

import importlib.util
from contextlib import suppress

import numpy as np
import pytest

from nlpkit.bert import backend
from nlpkit.bert.average import Average
from nlpkit.bert.config import ModelConfig
from nlpkit.bert.optimizers import Optimizer, OptimizerSettings
from nlpkit.errors import ModelError

if importlib.util.find_spec("bert4keras") is None:
    pytest.skip("needs nlpkit[bert]", allow_module_level=True)

# AdaFactor factors the first and keeps the whole second moment of the others.
SHAPES = {
    "dense/kernel": (130, 140),
    "dense/bias": (3,),
    "Norm/gamma": (3,),
    "Embedding/embeddings": (5, 4),
}
RATES = [0.02, 0.05, 0.1, 0.1, 0.05, 0.01, 0.02]
SETTINGS = {
    "adam": {},
    "adam, other betas": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1},
    "adamw": {"weight_decay": 0.3},
    "lamb": {"weight_decay": 0.3, "layer_adaptation": True},
    "lamb without decay": {"layer_adaptation": True},
    "lazy adamw": {"weight_decay": 0.3, "lazy": True},
    "lookahead": {"lookahead": True},
    "lazy lamb, lookahead": {"weight_decay": 0.3, "layer_adaptation": True, "lazy": True, "lookahead": True},
    "lion": {"name": "lion"},
    "lion, all": {"name": "lion", "weight_decay": 0.3, "lookahead": True, "lazy": True},
    "lion, adapted": {"name": "lion", "weight_decay": 0.3, "layer_adaptation": True},
    "adafactor": {"name": "adafactor"},
    "adafactor, momentum": {"name": "adafactor", "beta_1": 0.9, "beta_2": 0.99, "weight_decay": 0.3},
    "adafactor, relative": {"name": "adafactor", "relative_steps": True, "lookahead": True, "lazy": True},
}
every_setting = pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)


def start_weights():
    random = np.random.default_rng(1)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def make_variables(weights):
    tf = backend.tensorflow()
    return [tf.Variable(value, name=name) for name, value in weights.items()]


def gradients_of(step):
    random = np.random.default_rng([2, step])
    gradients = [random.normal(size=shape).astype(np.float32) for shape in SHAPES.values()]
    gradients[-1][[0, step % 3]] = 0  # two embeddings, or one, without gradient
    return gradients


class Twin:
    """The update rules in float64, as the papers write them."""

    def __init__(self, weights, options):
        self.weights = {name: value.astype(np.float64) for name, value in weights.items()}
        self.slow = {name: value.copy() for name, value in self.weights.items()}
        self.options = options
        self.moments = {}
        self.t = 0

    def moment(self, key, value, beta):
        old = self.moments.get(key, np.zeros_like(value))
        self.moments[key] = beta * old + (1 - beta) * value
        return self.moments[key]

    def apply(self, gradients, rate):
        self.t += 1
        if self.options.get("relative_steps"):
            rate *= min(0.01, self.t**-0.5)
        for (name, w), g in zip(self.weights.items(), gradients, strict=True):
            u = getattr(self, self.options.get("name", "adam"))(name, w, g.astype(np.float64))
            is_exempt = name.endswith(("bias", "gamma"))
            if not is_exempt:
                u = u + self.options.get("weight_decay", 0) * w
            if self.options.get("layer_adaptation") and not is_exempt:
                u = u * np.linalg.norm(w) / np.linalg.norm(u)
            if self.options.get("lazy") and name.endswith("embeddings"):
                u = u * (g != 0).any(axis=1, keepdims=True)
            self.weights[name] = w - rate * u
        if self.options.get("lookahead") and self.t % 5 == 0:
            for name in self.weights:
                self.slow[name] += 0.5 * (self.weights[name] - self.slow[name])
                self.weights[name] = self.slow[name].copy()

    def adam(self, name, w, g):
        b1, b2 = self.options.get("beta_1", 0.9), self.options.get("beta_2", 0.999)
        m = self.moment((name, "m"), g, b1) / (1 - b1**self.t)
        v = self.moment((name, "v"), g**2, b2) / (1 - b2**self.t)
        return m / (np.sqrt(v) + self.options.get("epsilon", 1e-6))

    def lion(self, name, w, g):
        m = self.moments.get((name, "m"), 0 * g)
        self.moment((name, "m"), g, 0.98)
        return np.sign(0.95 * m + 0.05 * g)

    def adafactor(self, name, w, g):
        b2 = self.options.get("beta_2", 1 - self.t**-0.8)
        square = g**2 + 1e-30
        if g.ndim == 2 and min(g.shape) >= 128:
            rows = self.moment((name, "r"), square.mean(axis=1), b2)
            columns = self.moment((name, "c"), square.mean(axis=0), b2)
            v = np.outer(rows, columns) / rows.mean()
        else:
            v = self.moment((name, "v"), square, b2)
        u = g / np.sqrt(v)
        u /= max(1, np.sqrt((u**2).mean()))
        if "beta_1" in self.options:
            u = self.moment((name, "m"), u, self.options["beta_1"])
        return u * max(1e-3, np.sqrt((w**2).mean()))


def compiled(optimizer):
    """Call the optimizer as the training loop does: in a tf.function, where the gradient is finite."""
    tf = backend.tensorflow()

    def apply(gradients, rate, good):
        if good:
            optimizer.apply(gradients, rate)

    function = tf.function(apply)
    return lambda gradients, rate: function(gradients, np.float32(rate), tf.constant(True))


@every_setting
def test_takes_the_steps_of_the_papers(options):
    weights = start_weights()
    variables, twin = make_variables(weights), Twin(weights, options)
    optimizer = Optimizer(OptimizerSettings(**options), variables)
    apply = compiled(optimizer)
    for step, rate in enumerate(RATES):
        apply(gradients_of(step), rate)
        twin.apply(gradients_of(step), rate)
        for name, variable in zip(SHAPES, variables, strict=True):
            np.testing.assert_allclose(
                variable.numpy(), twin.weights[name], rtol=2e-5, atol=2e-6, err_msg=f"{name} at step {step}"
            )
    assert optimizer.updates == len(RATES)


@every_setting
def test_resumes_bit_for_bit(options):
    settings = OptimizerSettings(**options)
    whole = make_variables(start_weights())
    resumed = make_variables({name: np.ones(shape, np.float32) for name, shape in SHAPES.items()})
    first, second = Optimizer(settings, whole), Optimizer(settings, resumed)
    apply_first, apply_second = compiled(first), compiled(second)
    for step, rate in enumerate(RATES):
        if step == 3:
            second.load_state(first.state())
            for variable, other in zip(resumed, whole, strict=True):
                variable.assign(other.numpy())
        apply_first(gradients_of(step), rate)
        if step >= 3:
            apply_second(gradients_of(step), rate)
    for variable, other in zip(whole, resumed, strict=True):
        assert variable.numpy().tobytes() == other.numpy().tobytes()


@every_setting
def test_memory_is_known_before_anything_is_built(options):
    settings = OptimizerSettings(**options)
    state = Optimizer(settings, make_variables(start_weights())).state()
    assert settings.num_bytes(SHAPES.values()) == sum(array.nbytes for array in state.values())


def test_memory_by_hand():
    shapes = [(21128, 768), (100, 768), (768,)]
    numbers = 21128 * 768 + 100 * 768 + 768
    assert OptimizerSettings().num_bytes(shapes) == 8 * numbers + 8
    assert OptimizerSettings(lookahead=True).num_bytes(shapes) == 12 * numbers + 8
    assert OptimizerSettings(name="lion").num_bytes(shapes) == 4 * numbers + 8
    factored = (21128 + 768) + 100 * 768 + 768
    assert OptimizerSettings(name="adafactor").num_bytes(shapes) == 4 * factored + 8


def test_the_first_step_of_adam_is_as_long_as_the_rate_everywhere():
    (variable,) = variables = [backend.tensorflow().Variable([1.0, 2.0, 3.0])]
    Optimizer(OptimizerSettings(), variables).apply([np.float32([7, -0.01, 0])], 0.5)
    np.testing.assert_allclose(variable.numpy(), [0.5, 2.5, 3.0], atol=1e-4)


def test_lookahead_goes_half_the_way_back_after_five_updates():
    (variable,) = variables = [backend.tensorflow().Variable([1.0])]
    optimizer = Optimizer(OptimizerSettings(name="lion", lookahead=True), variables)
    seen = []
    for _ in range(10):
        optimizer.apply([np.float32([1])], 0.1)
        seen.append(float(variable[0]))
    expected = [0.9, 0.8, 0.7, 0.6, 0.75, 0.65, 0.55, 0.45, 0.35, 0.5]
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_sparse_gradients_move_as_dense_ones_and_repeated_rows_add_up():
    tf = backend.tensorflow()
    sparse = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, -1.0], [1.0, 1.0]]), tf.constant([2, 0, 2]))
    dense = np.float32([[3, -1], [0, 0], [2, 3]])
    ends = []
    for gradient in (sparse, dense):
        variable = tf.Variable(np.ones((3, 2), np.float32))
        optimizer = Optimizer(OptimizerSettings(), [variable])
        for _ in range(3):
            optimizer.apply([gradient], 0.1)
        ends.append(variable.numpy())
    np.testing.assert_array_equal(*ends)


def test_a_variable_without_gradient_stays_where_it_is():
    first, second = variables = make_variables({"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)})
    optimizer = Optimizer(OptimizerSettings(weight_decay=0.5), variables)
    compiled(optimizer)([None, np.ones(2, np.float32)], 0.1)
    assert (first.numpy() == 1).all()
    assert (second.numpy() < 1).all()
    assert optimizer.updates == 1


def test_a_changed_rate_compiles_nothing_anew():
    variables = make_variables({"a": np.ones(2, np.float32)})
    optimizer = Optimizer(OptimizerSettings(), variables)
    for rate in (0.1, np.float32(0.2), np.float64(0.3)):
        optimizer.apply([np.ones(2, np.float32)], rate)
    assert optimizer._update_function.experimental_get_tracing_count() == 1


def moved_without_gradient(variables, settings):
    """Return the names of the variables that one update moves, all of them 1 before it."""
    for variable in variables.values():
        variable.assign(np.ones(variable.shape))
    zeros = [np.zeros(variable.shape, np.float32) for variable in variables.values()]
    Optimizer(settings, list(variables.values())).apply(zeros, 0.1)
    return {name for name, variable in variables.items() if (variable.numpy() != 1).any()}


@pytest.mark.parametrize(
    "options", [{}, {"name": "lion"}, {"name": "adafactor"}, {"layer_adaptation": True}], ids=str
)
def test_decay_spares_biases_and_normalisation_of_a_real_model(options):
    config = ModelConfig("bert", 9, 8, 1, 2, 8, 4)
    variables = backend.build(config, mlm=True, pooler=True).variables
    moved = moved_without_gradient(variables, OptimizerSettings(weight_decay=0.1, **options))
    assert moved == {name for name in variables if not name.endswith(("bias", "gamma", "beta"))}
    assert any("kernel" in name for name in moved)


def test_lazy_updates_hold_all_embeddings_of_a_real_model_and_nothing_else():
    config = ModelConfig("bert", 9, 8, 1, 2, 8, 4)
    variables = backend.build(config, mlm=True).variables
    moved = moved_without_gradient(variables, OptimizerSettings(weight_decay=0.1, lazy=True))
    assert moved == {name for name in variables if name.endswith("kernel")}


@pytest.mark.parametrize("kind", ["adamw", "lazy lamb, lookahead", "adafactor"])
def test_mixed_precision_updates_the_float32_weights(kind):
    tf = backend.tensorflow()
    layer = backend.keras().layers.Dense(4, dtype="mixed_bfloat16")
    layer.build((None, 3))
    plain = [tf.Variable(variable.numpy(), name=variable.name[:-2]) for variable in layer.variables]
    for variables in (layer.variables, plain):
        optimizer = Optimizer(OptimizerSettings(**SETTINGS[kind]), variables)
        apply = compiled(optimizer)
        for step in range(6):
            random = np.random.default_rng(step)
            apply([random.normal(size=v.shape).astype(np.float32) for v in plain], 0.01)
        assert {array.dtype for array in optimizer.state().values()} == {
            np.dtype("int64"),
            np.dtype("float32"),
        }
    for mixed, other in zip(layer.variables, plain, strict=True):
        np.testing.assert_array_equal(mixed.numpy(), other.numpy())


def test_the_state_goes_by_the_names_given():
    optimizer = Optimizer(OptimizerSettings(lookahead=True), make_variables({"x": np.ones(2)}), ["bert/x"])
    assert sorted(optimizer.state()) == ["bert/x/m", "bert/x/slow", "bert/x/v", "updates"]


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", "b", "c"]])
def test_refuses_names_that_do_not_tell_variables_apart(names):
    variables = make_variables({"x": np.ones(2), "y": np.ones(2)})
    with pytest.raises(ValueError, match="2 variables need as many different names"):
        Optimizer(OptimizerSettings(), variables, names)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda state: state.pop("0/v"), "of another kind: 0/v"),
        (lambda state: state.update({"0/slow": state["0/m"]}), "of another kind: 0/slow"),
        (lambda state: state.update({"0/v": np.zeros(3, np.float32)}), r"0/v of shape \(3,\), not \(2,\)"),
    ],
)
def test_refuses_the_state_of_another_optimizer_and_keeps_its_own(change, cause):
    optimizer = Optimizer(OptimizerSettings(), make_variables({"x": np.ones(2, np.float32)}))
    optimizer.apply([np.ones(2, np.float32)], 0.1)
    own, state = optimizer.state(), {name: array + 1 for name, array in optimizer.state().items()}
    change(state)
    with pytest.raises(ModelError, match=cause) as error:
        optimizer.load_state(state)
    assert "--resume" in error.value.hint
    assert {name: array.tolist() for name, array in optimizer.state().items()} == {
        name: array.tolist() for name, array in own.items()
    }


@pytest.mark.parametrize(
    "options",
    [
        {"name": "sgd"},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"weight_decay": -0.1},
        {"epsilon": 0.0},
        {"epsilon": float("inf")},
        {"beta_1": 1.0},
        {"beta_2": -0.1},
        {"relative_steps": True},
        {"name": "adafactor", "layer_adaptation": True},
    ],
    ids=str,
)
def test_refuses_settings_that_make_no_sense(options):
    with pytest.raises(ValueError, match=r"unknown|out of range|not in|only|together"):
        OptimizerSettings(**options)


def test_the_average_forgets_early_weights_and_then_keeps_its_rate():
    (variable,) = variables = [backend.tensorflow().Variable([0.0])]
    average = Average(variables, 0.25)
    seen = []
    for _ in range(4):
        variable.assign([1.0])
        average.update()
        with average.swapped():
            seen.append(1 - float(variable[0]))
    # The decays are 1/10, 2/11, 3/12, and from then on the rate.
    np.testing.assert_allclose(seen, np.cumprod([0.1, 2 / 11, 0.25, 0.25]), rtol=1e-4)


def test_the_average_starts_at_the_weights():
    variables = make_variables(start_weights())
    average = Average(variables, 0.999)
    average.update()
    with average.swapped():
        for variable, value in zip(variables, start_weights().values(), strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)


def test_swapping_gives_the_weights_back_bit_for_bit_even_after_an_error():
    (variable,) = variables = make_variables({"a": np.float32([0.1, np.pi])})
    average = Average(variables, 0.9)
    variable.assign_add([1, 1])
    own = variable.numpy().tobytes()
    with suppress(RuntimeError), average.swapped():
        np.testing.assert_array_equal(variable.numpy(), np.float32([0.1, np.pi]))
        variable.assign_add([5, 5])
        raise RuntimeError
    assert variable.numpy().tobytes() == own


def test_the_average_resumes_bit_for_bit():
    tf = backend.tensorflow()

    def steps(variable, average, numbers):
        update = tf.function(average.update)
        for number in numbers:
            variable.assign(np.random.default_rng(number).normal(size=8).astype(np.float32))
            update()

    def fresh():
        variable = tf.Variable(np.ones(8, np.float32))
        return variable, Average([variable], 0.9, ["w"])

    variable, whole = fresh()
    steps(variable, whole, range(12))
    variable, first = fresh()
    steps(variable, first, range(5))
    variable, second = fresh()
    second.load_state(first.state())
    steps(variable, second, range(5, 12))
    assert sorted(whole.state()) == ["updates", "w/average"]
    for name, array in whole.state().items():
        assert array.tobytes() == second.state()[name].tobytes()


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan")])
def test_refuses_a_rate_that_is_no_decay(rate):
    with pytest.raises(ValueError, match=r"not in \[0, 1\)"):
        Average([], rate)
