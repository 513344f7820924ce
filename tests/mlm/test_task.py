"""The losses of a masked LM, worked out in numpy beside TensorFlow, with and without a teacher."""

import importlib.util

import numpy as np
import pytest

from nlpkit.bert import backend
from nlpkit.bert.config import ModelConfig
from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.errors import ModelError
from nlpkit.mlm.masking import MaskedBatch
from nlpkit.mlm.task import MaskedLMTask, Teacher

if importlib.util.find_spec("bert4keras") is None:
    pytest.skip("needs nlpkit[bert]", allow_module_level=True)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
STUDENT = Tokenizer([*SPECIAL, *"一丁七万丈三"], lower_case=True)
# The same characters in another order, two of them missing, others beside them.
OTHER = Tokenizer(["[PAD]", "x", *SPECIAL[1:], *"三y七一z丁"], lower_case=True)
MISSING = [STUDENT.token_to_id[token] for token in "万丈"]


def build(tokenizer, seed, hidden_size=8, **options):
    config = ModelConfig("bert", len(tokenizer.id_to_token), hidden_size, 1, 2, 12, 6, **options)
    transformer = backend.build(config, mlm=True, seed=seed)
    random = np.random.default_rng(seed)
    # Large weights, so that no loss is flat.
    weights = {
        name: random.normal(size=v.shape).astype(np.float32) for name, v in transformer.weights().items()
    }
    transformer.load(weights)
    return transformer


@pytest.fixture(scope="module")
def student():
    return build(STUDENT, 1)


@pytest.fixture(scope="module")
def teacher():
    return build(OTHER, 2, hidden_size=12)


@pytest.fixture
def batch():
    """Two rows, the second with padding; three masked places, two in the first row."""
    ids = STUDENT.token_to_id
    first = [ids[token] for token in ["[CLS]", "[MASK]", "丁", "[MASK]", "万", "[SEP]"]]
    second = [ids[token] for token in ["[CLS]", "三", "[MASK]", "[SEP]"]] + [0, 0]
    return MaskedBatch(
        np.array([first, second], np.int32),
        np.array([[1, 3], [2, 0]], np.int32),
        np.array([[ids["一"], ids["七"]], [ids["三"], ids["[CLS]"]]], np.int32),
        np.array([[1, 1], [1, 0]], np.float32),
    )


def task_of(transformer, teacher=None, dev=(), saved=None):
    save = (lambda weights, metrics: saved.append((weights, metrics))) if saved is not None else None
    return MaskedLMTask(transformer, None, teacher=teacher, dev=dev, save=save, seed=0)


def losses(task, batch):
    """The figures of a batch as numbers."""
    function = backend.tensorflow().function(task.loss)
    return {name: float(value) for name, value in function(batch._asdict()).items()}


def log_probabilities(transformer, token_ids, places):
    """Log probabilities over the vocabulary at (row, position), straight from the model's parts."""
    hidden = transformer.model([token_ids, np.zeros_like(token_ids)]).numpy()
    logits = transformer.mlm_logits(np.stack([hidden[place] for place in places])).numpy().astype(np.float64)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


PLACES = [(0, 1), (0, 3), (1, 2)]


def test_the_loss_is_the_mean_over_masked_places_alone(student, batch):
    logs = log_probabilities(student, batch.token_ids, PLACES)
    gold = [batch.gold[0, 0], batch.gold[0, 1], batch.gold[1, 0]]
    expected = -np.mean([logs[n, token] for n, token in enumerate(gold)])
    figures = losses(task_of(student), batch)
    assert figures.keys() == {"loss", "mlm_loss", "top1"}
    assert figures["loss"] == figures["mlm_loss"] == pytest.approx(expected, rel=1e-4)
    assert figures["top1"] == pytest.approx(np.mean(logs.argmax(-1) == gold))


def test_padding_changes_nothing(student, teacher, batch):
    wider = MaskedBatch(
        np.pad(batch.token_ids, ((0, 0), (0, 5))),
        *(np.pad(field, ((0, 0), (0, 3))) for field in batch[1:]),
    )
    task = task_of(student, Teacher(teacher, OTHER, STUDENT))
    assert losses(task, wider) == pytest.approx(losses(task, batch), rel=1e-4)


def test_the_teacher_is_asked_in_its_own_tokens_and_answers_in_the_students(student, teacher, batch):
    spelled = [[STUDENT.id_to_token[number] for number in row] for row in batch.token_ids]
    own_ids = [[OTHER.token_to_id.get(token, OTHER.unknown_id) for token in row] for row in spelled]
    assert own_ids[0][4] == OTHER.unknown_id  # 万
    probabilities = np.exp(log_probabilities(teacher, np.array(own_ids, np.int32), PLACES))
    wanted = np.zeros((3, len(STUDENT.id_to_token)))
    for number, token in enumerate(STUDENT.id_to_token):
        if token in OTHER.token_to_id:
            wanted[:, number] = probabilities[:, OTHER.token_to_id[token]]
    wanted /= wanted.sum(-1, keepdims=True)
    asked = Teacher(teacher, OTHER, STUDENT)
    hidden = asked.hidden(batch.token_ids).numpy()
    found = asked.distribution(np.stack([hidden[place] for place in PLACES])).numpy()
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=1e-5)
    assert (found[:, MISSING] == 0).all()
    expected = -np.mean((wanted * log_probabilities(student, batch.token_ids, PLACES)).sum(-1))
    figures = losses(task_of(student, asked), batch)
    assert figures["teacher_loss"] == pytest.approx(expected, rel=1e-3)
    parts = ("mlm_loss", "teacher_loss", "hidden_loss")
    assert figures["loss"] == pytest.approx(sum(figures[name] for name in parts), rel=1e-5)


def test_the_hidden_loss_is_the_distance_from_the_teachers_normalised_vectors(student, teacher, batch):
    task = task_of(student, Teacher(teacher, OTHER, STUDENT))
    task.variables["distillation/kernel"].assign(np.random.default_rng(3).normal(size=(8, 12)))
    own = student.model([batch.token_ids, np.zeros_like(batch.token_ids)]).numpy()
    target = task._teacher.hidden(batch.token_ids).numpy()
    target = (target - target.mean(-1, keepdims=True)) / target.std(-1, keepdims=True)
    distance = ((own @ task.variables["distillation/kernel"].numpy() - target) ** 2).mean(-1)
    real = [distance[0, n] for n in range(6)] + [distance[1, n] for n in range(4)]
    assert losses(task, batch)["hidden_loss"] == pytest.approx(np.mean(real), rel=1e-4)


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_its_vectors(batch):
    twin = build(STUDENT, 5)
    norm = "bert/encoder/layer_0/output/LayerNorm"
    plain = {f"{norm}/gamma": np.ones(8, np.float32), f"{norm}/beta": np.zeros(8, np.float32)}
    twin.load({**twin.weights(), **plain})
    copy = backend.build(twin.config, twin.weights(), mlm=True)
    task = task_of(twin, Teacher(copy, STUDENT, STUDENT))
    task.variables["distillation/kernel"].assign(np.eye(8))
    figures = losses(task, batch)
    assert figures["hidden_loss"] < 1e-5
    # The cross-entropy with oneself is the entropy, below which no other student comes.
    logs = log_probabilities(twin, batch.token_ids, PLACES)
    assert figures["teacher_loss"] == pytest.approx(-np.mean((np.exp(logs) * logs).sum(-1)), rel=1e-4)


def test_the_teacher_does_not_drop_units_and_is_not_trained(student, batch):
    sleepy = build(STUDENT, 6, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    task = task_of(student, Teacher(sleepy, STUDENT, STUDENT))
    seen = []
    for seed in (1, 2):
        backend.seed_dropout(seed)
        seen.append(losses(task, batch))
    assert seen[0] == seen[1]
    assert task.variables.keys() == student.variables.keys() | {"distillation/kernel"}


def test_a_teacher_without_a_mask_is_refused(teacher):
    without = Tokenizer(["m" if token == "[MASK]" else token for token in OTHER.id_to_token], lower_case=True)
    with pytest.raises(ModelError, match=r"teacher's vocabulary has no \[MASK\]"):
        Teacher(teacher, without, STUDENT)


def test_development_figures_weigh_every_masked_place_the_same(student, batch):
    small = MaskedBatch(*(field[1:] for field in batch))
    logs = log_probabilities(student, batch.token_ids, PLACES)
    gold = np.array([batch.gold[0, 0], batch.gold[0, 1], batch.gold[1, 0]])
    right = logs[np.arange(3), gold]
    hits = logs.argmax(-1) == gold
    found = task_of(student, dev=[batch, small]).evaluate()
    assert found["mlm_loss"] == pytest.approx(-(right.sum() + right[2]) / 4, rel=1e-4)
    assert found["top1"] == pytest.approx((hits.sum() + hits[2]) / 4)
    assert task_of(student).evaluate() == {}


def test_what_is_saved_is_the_student_without_the_map(student, teacher):
    saved = []
    task_of(student, Teacher(teacher, OTHER, STUDENT), saved=saved).save({"step": 3})
    ((weights, metrics),) = saved
    assert metrics == {"step": 3}
    assert weights.keys() == student.variables.keys()


@pytest.fixture
def half_precision():
    policy = backend.keras().mixed_precision
    before = policy.global_policy()
    policy.set_global_policy("mixed_bfloat16")
    yield
    policy.set_global_policy(before)


def test_losses_in_16_bits_are_close(student, teacher, batch, request):
    exact = losses(task_of(student, Teacher(teacher, OTHER, STUDENT)), batch)
    request.getfixturevalue("half_precision")
    rough_student, rough_teacher = (
        backend.build(model.config, model.weights(), mlm=True) for model in (student, teacher)
    )
    rough = losses(task_of(rough_student, Teacher(rough_teacher, OTHER, STUDENT)), batch)
    for name in ("mlm_loss", "teacher_loss", "hidden_loss"):
        assert rough[name] == pytest.approx(exact[name], rel=0.1), name
