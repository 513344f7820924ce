"""What training makes small. Every loss is computed in float32, whatever the layers compute in."""

from __future__ import annotations

from typing import Any

from nlpkit.bert import backend


def zlpr(logits: Any, targets: Any) -> Any:
    """Multi-label loss whose threshold is 0 by construction: labels that hold get scores above it.

    Args:
        logits: one score per label, shape (..., labels); -inf takes a label out.
        targets: 1 where the label holds, else 0, shape (..., labels).

    Returns:
        log(1 + sum of exp(s) over labels that do not hold) + log(1 + sum of exp(-s) over those that
        do), in nats, >= 0, shape (...).

    Source: Su 2020-04-25, 将“softmax+交叉熵”推广到多标签分类问题; Su et al. 2022, ZLPR (arXiv:2208.02955).
    """
    tf = backend.tensorflow()
    loss = backend.bert4keras("backend").multilabel_categorical_crossentropy
    return loss(tf.cast(targets, tf.float32), tf.cast(logits, tf.float32))
