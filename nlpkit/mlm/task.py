"""Masked language modelling as a task of the training room, with or without a teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nlpkit.bert import backend
from nlpkit.bert.backend import FloatArray, Transformer
from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.errors import ModelError
from nlpkit.mlm.batches import MaskedBatches
from nlpkit.mlm.masking import MaskedBatch


class Teacher:
    """A larger masked LM that tells, for every hidden token, how likely each token is.

    Its vocabulary may differ: each of the student's tokens is the teacher's token of the same
    spelling, or [UNK]. Tokens that the teacher does not know get no share of its distribution.
    """

    def __init__(self, transformer: Transformer, own: Tokenizer, student: Tokenizer) -> None:
        """Map the student's tokens onto the teacher's.

        Raises:
            ModelError: the teacher has no [MASK].
        """
        if own.mask_id is None:
            raise ModelError("the teacher's vocabulary has no [MASK]: it is no masked language model")
        tf = backend.tensorflow()
        ids = [own.token_to_id.get(token, own.unknown_id) for token in student.id_to_token]
        known = np.array([token in own.token_to_id for token in student.id_to_token])
        self.hidden_size = transformer.config.hidden_size
        self._transformer = transformer
        self._ids = tf.constant(ids, tf.int32)
        self._unknown = tf.constant(np.where(known, 0.0, -1e4), tf.float32)

    def hidden(self, token_ids: Any) -> Any:
        """Return the teacher's last hidden states for the student's ids, (batch, length, hidden)."""
        tf = backend.tensorflow()
        ids = tf.gather(self._ids, token_ids)
        return self._transformer.model([ids, tf.zeros_like(ids)])

    def distribution(self, hidden: Any) -> Any:
        """Return the probability of every token of the student, shape (positions, vocab_size)."""
        tf = backend.tensorflow()
        logits = self._transformer.mlm_logits(hidden, self._ids)
        return tf.nn.softmax(tf.cast(logits, tf.float32) + self._unknown)


class MaskedLMTask:
    """The losses of a masked LM.

    Without a teacher: cross-entropy with the hidden tokens. With one: this, plus the cross-entropy
    with the teacher's distribution over the same positions, plus the squared distance between a
    linear map of the hidden states and the teacher's normalised ones at every position. The map is
    trained along and not saved.
    """

    def __init__(
        self,
        transformer: Transformer,
        batches: MaskedBatches,
        *,
        teacher: Teacher | None,
        dev: Sequence[MaskedBatch],
        save: Callable[[Mapping[str, FloatArray], Mapping[str, float]], None],
        seed: int,
    ) -> None:
        """Put the parts together.

        Args:
            transformer: the model to train, built with its MLM head.
            batches: the corpus.
            teacher: None trains on the text alone.
            dev: fixed batches to measure on.
            save: called with the weights and the figures of the model to keep.
            seed: of the map to the teacher's space.
        """
        self._transformer = transformer
        self._batches = batches
        self._teacher = teacher
        self._dev = dev
        self._save = save
        self.variables: dict[str, Any] = transformer.variables
        if teacher is not None:
            shape = (transformer.config.hidden_size, teacher.hidden_size)
            kernel = backend.fresh_weight("distillation/kernel", shape, transformer.config, seed)
            self._map = backend.tensorflow().Variable(kernel, name="distillation_kernel")
            self.variables |= {"distillation/kernel": self._map}
        self._predict = backend.tensorflow().function(self._score, reduce_retracing=True)

    def batch(self, number: int) -> Mapping[str, Any]:
        """Return one batch by field name."""
        return self._batches.batch(number)._asdict()

    def loss(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Compute the losses of one batch; all are means per position, in nats."""
        tf = backend.tensorflow()
        hidden = self._transformer.model(
            [batch["token_ids"], tf.zeros_like(batch["token_ids"])], training=True
        )
        places = tf.where(batch["weights"] > 0)
        logits = self._logits(hidden, batch, places)
        gold = tf.gather_nd(batch["gold"], places)
        # One logarithm of the sum serves both losses: over a whole vocabulary it is their cost.
        normaliser = tf.reduce_logsumexp(logits, -1)
        mlm = tf.reduce_mean(normaliser - tf.gather(logits, gold, batch_dims=1))
        figures = {"loss": mlm, "mlm_loss": mlm, "top1": _hits(logits, gold)}
        if self._teacher is not None:
            figures |= self._distillation(batch, places, hidden, logits, normaliser)
            figures["loss"] = mlm + figures["teacher_loss"] + figures["hidden_loss"]
        return figures

    def _distillation(
        self, batch: Mapping[str, Any], places: Any, hidden: Any, logits: Any, normaliser: Any
    ) -> dict[str, Any]:
        """Compute the two losses that a teacher gives."""
        tf = backend.tensorflow()
        teacher = self._teacher
        assert teacher is not None
        target = teacher.hidden(batch["token_ids"])
        wanted = teacher.distribution(_at(target, batch["positions"], places))
        mapped = tf.cast(tf.matmul(hidden, tf.cast(self._map, hidden.dtype)), tf.float32)
        real = tf.cast(batch["token_ids"] > 0, tf.float32)
        distance = tf.reduce_mean((mapped - _standardised(tf.cast(target, tf.float32))) ** 2, -1)
        return {
            "teacher_loss": tf.reduce_mean(normaliser - tf.reduce_sum(wanted * logits, -1)),
            "hidden_loss": tf.reduce_sum(distance * real) / tf.reduce_sum(real),
        }

    def _logits(self, hidden: Any, batch: Mapping[str, Any], places: Any) -> Any:
        tf = backend.tensorflow()
        return tf.cast(self._transformer.mlm_logits(_at(hidden, batch["positions"], places)), tf.float32)

    def _score(self, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the summed loss and the hits of one development batch."""
        tf = backend.tensorflow()
        hidden = self._transformer.model([batch["token_ids"], tf.zeros_like(batch["token_ids"])])
        places = tf.where(batch["weights"] > 0)
        logits = self._logits(hidden, batch, places)
        gold = tf.gather_nd(batch["gold"], places)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(gold, logits)
        return tf.reduce_mean(loss), _hits(logits, gold)

    def evaluate(self) -> dict[str, float]:
        """Return the loss and the top-1 accuracy over the hidden tokens of the development text."""
        if not self._dev:
            return {}
        scores = np.array([[float(x) for x in self._predict(batch._asdict())] for batch in self._dev])
        sizes = np.array([batch.weights.sum() for batch in self._dev])
        loss, top1 = (scores * sizes[:, None]).sum(0) / sizes.sum()
        return {"mlm_loss": float(loss), "top1": float(top1)}

    def save(self, metrics: Mapping[str, float]) -> None:
        """Hand the weights to the pipeline, which knows the folder."""
        self._save(self._transformer.weights(), metrics)


def _at(hidden: Any, positions: Any, places: Any) -> Any:
    """Take the hidden states of the masked positions, shape (positions, hidden)."""
    tf = backend.tensorflow()
    index = tf.stack([tf.cast(places[:, 0], tf.int32), tf.gather_nd(positions, places)], axis=1)
    return tf.gather_nd(hidden, index)


def _hits(logits: Any, gold: Any) -> Any:
    tf = backend.tensorflow()
    return tf.reduce_mean(tf.cast(tf.argmax(logits, -1, tf.int32) == gold, tf.float32))


def _standardised(x: Any) -> Any:
    """Give every vector mean 0 and variance 1, so that the loss has one scale for any teacher."""
    tf = backend.tensorflow()
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-6)
